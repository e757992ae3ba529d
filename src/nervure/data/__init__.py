"""A source becomes a Dataset: load, split, batch, augment.

Names are bound here at once, not on demand: ``load``, ``batches`` and ``windows`` are both a file and its verb,
and the file would otherwise stand in for the verb. Nothing heavier than torch and numpy is imported.
"""

from nervure.data.arrays import from_arrays
from nervure.data.augment import Augmentation
from nervure.data.batches import Loader, batches, permutation
from nervure.data.contents import Contents
from nervure.data.dataset import Batch, Dataset, Preprocessing
from nervure.data.describe import describe
from nervure.data.few import keep_labels, parent_labels
from nervure.data.links import Links, as_links
from nervure.data.load import load
from nervure.data.sources import sources
from nervure.data.windows import windows

__all__ = [
    "Augmentation",
    "Batch",
    "Contents",
    "Dataset",
    "Links",
    "Loader",
    "Preprocessing",
    "as_links",
    "batches",
    "describe",
    "from_arrays",
    "keep_labels",
    "load",
    "parent_labels",
    "permutation",
    "sources",
    "windows",
]
