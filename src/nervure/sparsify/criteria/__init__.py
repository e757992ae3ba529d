"""Rules that judge single edges: which weights a network can do without."""

from __future__ import annotations

from collections.abc import Mapping

from nervure.errors import InputError
from nervure.judge import Criterion
from nervure.registry import Table

__all__ = ["criteria", "get", "make", "names"]

_HOME = "nervure.sparsify.criteria"

criteria: Table[type[Criterion]] = Table(
    "edge criterion",
    {
        "isparse": (
            f"{_HOME}.isparse:ISparse",
            "a weight's magnitude times what its unit does to the outputs",
            "Garg, thesis, chapter 4",
        ),
        "magnitude": (
            f"{_HOME}.magnitude:Magnitude",
            "a weight's magnitude (retraining-free; layer by layer or global)",
            "Garg, thesis, chapter 4 (baseline)",
        ),
        "random": (
            f"{_HOME}.random:Random",
            "seeded random edges (DropConnect), the control",
            "Wan et al. 2013 (DropConnect)",
        ),
        "snip": (f"{_HOME}.snip:SNIP", "a weight's magnitude times the loss gradient on it", "Lee et al. 2019"),
        "wanda": (
            f"{_HOME}.wanda:Wanda",
            "a weight's magnitude times the norm of what it reads",
            "Sun et al. 2024",
        ),
        "l1": (
            f"{_HOME}.trained:L1",
            "training with a penalty on magnitudes; reaches its own sparsity",
            "Garg, thesis, chapter 4 (baseline)",
        ),
        "dropout": (
            f"{_HOME}.trained:Dropout",
            "training with random activations dropped; its sparsity is nominal",
            "Garg, thesis, chapter 4 (baseline)",
        ),
        "lottery": (
            f"{_HOME}.trained:Lottery",
            "magnitude pruning in rounds, each from the first weights again",
            "Frankle and Carbin 2019",
        ),
    },
    group="nervure.edge_criteria",
)
names = criteria.names
get = criteria.get


def make(criterion: str | Criterion, seed: int = 0, settings: Mapping[str, object] | None = None) -> Criterion:
    """A criterion by name, with ``seed`` where it takes one and its own settings; one that is made already as it is.

    >>> make("random", seed=3)
    Random(seed=3)
    >>> make("magnitude", settings={"alpha": 1})
    Traceback (most recent call last):
    nervure.errors.InputError: edge criterion 'magnitude' has no setting 'alpha'; it takes none
    """
    if isinstance(criterion, Criterion):
        if settings:
            raise InputError(f"{next(iter(settings))!r} cannot be set on a criterion that is made already")
        return criterion
    if not isinstance(criterion, str):
        raise InputError(f"{criterion!r} is no criterion; give a name or a Criterion")
    made: Criterion = criteria.seeded(criterion, seed, settings)
    return made
