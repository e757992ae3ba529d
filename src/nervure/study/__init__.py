"""Many trials side by side: comparisons, published tables run again, and the whole way in one go."""

from nervure.study.layout import brackets
from nervure.study.results import Results
from nervure.study.run import Progress, run
from nervure.study.shown import figures, machines, settings_of, shown
from nervure.study.table import Study, load, names
from nervure.study.trials import trials

__all__ = [
    "Progress",
    "Results",
    "Study",
    "brackets",
    "figures",
    "load",
    "machines",
    "names",
    "run",
    "settings_of",
    "shown",
    "trials",
]
