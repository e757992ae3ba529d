"""Rules that judge single edges: which weights a network can do without."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from pydantic import JsonValue

from nervure.errors import InputError
from nervure.judge import Criterion
from nervure.registry import Table, takes

__all__ = ["criteria", "get", "make", "name_of", "names", "settings_of"]

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
    settings = dict(settings or {})
    if isinstance(criterion, Criterion):
        if settings:
            raise InputError(f"{next(iter(settings))!r} cannot be set on a criterion that is made already")
        return criterion
    if not isinstance(criterion, str):
        raise InputError(f"{criterion!r} is no criterion; give a name or a Criterion")
    drawn = {"seed": seed} if "seed" in (takes(get(criterion)) or ()) else {}
    made: Criterion = criteria.make(criterion, {**drawn, **settings})
    return made


def name_of(criterion: Criterion) -> str:
    """The name of a criterion's row, or of its class.

    >>> name_of(make("snip"))
    'snip'
    """
    target = f"{type(criterion).__module__}:{type(criterion).__qualname__}"
    return next((name for name, row in criteria.rows.items() if row.target == target), type(criterion).__name__)


def settings_of(criterion: Criterion) -> dict[str, JsonValue]:
    """What a criterion was made with, as far as it is plain data.

    >>> settings_of(make("random", 3))
    {'seed': 3}
    """
    if not dataclasses.is_dataclass(criterion):
        return {}
    fields = dataclasses.fields(criterion)
    plain = (bool, int, float, str, type(None))
    held = {one.name: getattr(criterion, one.name) for one in fields if not one.name.startswith("_")}
    return {name: value for name, value in held.items() if isinstance(value, plain)}
