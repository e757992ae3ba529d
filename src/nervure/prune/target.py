"""Target: how small a network should become."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from nervure.errors import InputError

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)

__all__ = ["Amount", "Target", "Wish"]

Share = Annotated[float, Field(gt=0, le=1, strict=True)]
Whole = Annotated[int, Field(ge=1, strict=True)]
Amount = Whole | Share
Wish = Literal["natural", "scenario-b", "scenario-c"]
KINDS = ("keep", "macs", "params", "latency_ms", "latency", "accuracy_drop")


def _line(error: ValidationError) -> str:
    first = error.errors()[0]
    where = str(first["loc"][0]) if first["loc"] else ""
    said = str(first["msg"]).removeprefix("Value error, ")
    if where in ("keep", "macs", "params") and not error.errors()[0]["type"].startswith("value"):
        said = "give a share above 0 and up to 1.0 as a float, or a whole number from 1"
        if where == "keep" and isinstance(first["input"], str):
            said += f", or one of {', '.join(get_args(Wish))}"
    elif where == "latency":
        said = "give a share above 0 and up to 1.0"
    found = f" {where}={_short(first['input'])}" if where else ""
    return f"target{found}: {said}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


class _Readable(ModelMetaclass):
    """Building from Python raises our own error."""

    def __call__(cls, *args: object, **data: object) -> object:
        try:
            return super().__call__(*args, **data)
        except ValidationError as error:
            raise InputError(_line(error)) from None


class Target(BaseModel, metaclass=_Readable):
    """How small a network should become; exactly one goal.

    A float in (0, 1] is the share that may remain, a whole number from 1 is absolute: ``1.0`` keeps all, ``1`` is one.

    Parameters
    ----------
    keep : float, int, "natural", "scenario-b", "scenario-c", or mapping of layer to float or int
        Units of each group that stay. ``"natural"``: as many as the criterion finds right for each layer, if it can
        tell; ``"scenario-b"``: the hardest share common to all layers that it finds right; ``"scenario-c"``: the
        same, and harder for the last quarter of the layers. Under a mapping, all other layers stay whole, and a number
        is of all units of a layer, also where these lie in several groups.
    macs, params : float or int
        Multiply-adds of one sample, parameters of the whole network: at most so many.
    latency_ms : float
        Median milliseconds of one call: at most so many.
    latency : float
        The same, as a share of the uncut network's.
    accuracy_drop : float
        Points of accuracy on the validation split that may be lost, after ``recover``.
    recover : str or tuple of str
        How the network is recovered before its accuracy is measured: ``"none"``, or methods of recovery in order.
    recover_options : mapping
        Settings of these methods, as :func:`nervure.prune.recover.recover` takes them.
    batch, threads : int
        Samples a call, and threads, when latency is measured.

    Examples
    --------
    >>> Target(macs=0.5).goal
    ('macs', 0.5)
    >>> Target(keep={"features.0": 0.3}).keep
    {'features.0': 0.3}
    >>> Target(keep=0)
    Traceback (most recent call last):
    nervure.errors.InputError: target keep=0: give a share above 0 and up to 1.0 as a float, or a whole number from 1
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    keep: Amount | Wish | dict[str, Amount] | None = None
    macs: Amount | None = None
    params: Amount | None = None
    latency_ms: Annotated[float, Field(gt=0)] | None = None
    latency: Share | None = None
    accuracy_drop: Annotated[float, Field(ge=0, lt=100)] | None = None
    recover: str | tuple[str, ...] = "none"
    recover_options: dict[str, JsonValue] = Field(default_factory=dict)
    batch: Whole = 1
    threads: Whole = 1

    @model_validator(mode="after")
    def _one_goal(self) -> Self:
        given = [name for name in KINDS if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"give exactly one of {', '.join(KINDS)}; found {found}")
        if self.latency_ms is not None and not math.isfinite(self.latency_ms):
            raise ValueError("latency_ms must be finite")
        if self.keep == {}:
            raise ValueError("keep names no layer")
        return self

    def __eq__(self, other: object) -> bool:
        # 1 and 1.0 are equal numbers, and here mean one unit and all of them.
        return isinstance(other, Target) and self.model_dump_json() == other.model_dump_json()

    def __hash__(self) -> int:
        return hash(self.model_dump_json())

    @property
    def goal(self) -> tuple[str, float | int | str | dict[str, float | int]]:
        """The one goal: its name and value."""
        name = next(name for name in KINDS if getattr(self, name) is not None)
        return name, getattr(self, name)
