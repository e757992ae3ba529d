"""Origin: what a network was built from, a base and the ordered structural steps since.

An Origin is plain data, so a run can be rebuilt in a fresh process by building the base and replaying
the steps, without pickle and without tracing. ``nets.build`` sets it; ``nets.steps.derive`` extends it;
nothing else does. It lives on the module and so survives ``copy.deepcopy``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from torch import nn

from nervure.errors import InputError

__all__ = ["Base", "Origin", "Step", "attach", "origin_of"]

BaseKind = Literal["name", "blueprint", "function"]
_ATTRIBUTE = "nervure_origin"


@dataclass(frozen=True)
class Base:
    """What stood at the beginning: a named network, a blueprint, or the caller's own function.

    ``spec`` is the name, the blueprint as JSON data, or ``"package.module:function"``; ``settings`` the
    further arguments; ``in_shape`` one sample's shape; ``classes`` the number of outputs.

    >>> Base("name", "lenet5", (1, 28, 28), 10, {}).spec
    'lenet5'
    """

    kind: BaseKind
    spec: str | Mapping[str, object]
    in_shape: tuple[int, ...]
    classes: int
    settings: Mapping[str, object]


@dataclass(frozen=True)
class Step:
    """One structural change: ``kind`` is a row of the table of steps, ``settings`` JSON data for it.

    >>> Step("resize", {"modules": {}}).kind
    'resize'
    """

    kind: str
    settings: Mapping[str, object]


@dataclass(frozen=True)
class Origin:
    """A base and the ordered structural steps since.

    >>> origin = Origin(Base("name", "lenet5", (1, 28, 28), 10, {}))
    >>> Origin.from_json(origin.to_json()) == origin
    True
    """

    base: Base
    steps: tuple[Step, ...] = ()

    def to_json(self) -> dict[str, object]:
        """As plain JSON data."""
        base = self.base
        return {
            "base": {
                "kind": base.kind,
                "spec": base.spec if isinstance(base.spec, str) else dict(base.spec),
                "in_shape": list(base.in_shape),
                "classes": base.classes,
                "settings": dict(base.settings),
            },
            "steps": [{"kind": step.kind, "settings": dict(step.settings)} for step in self.steps],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Origin:
        """From what :meth:`to_json` gave; data of another shape is refused."""
        try:
            base = data["base"]
            steps = data["steps"]
            return cls(
                _base(**base),  # type: ignore[arg-type]
                tuple(Step(str(step["kind"]), dict(step["settings"])) for step in steps),  # type: ignore[attr-defined]
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"not an origin: {error}") from error


def _base(
    kind: BaseKind, spec: object, in_shape: Sequence[object], classes: object, settings: Mapping[str, object]
) -> Base:
    """A base from JSON data that nobody vouches for."""
    if kind not in get_args(BaseKind):
        raise ValueError(f"unknown kind of base {kind!r}")
    if not isinstance(spec, Mapping if kind == "blueprint" else str):
        raise ValueError(f"a {kind} cannot be {type(spec).__name__}")
    shape = tuple(side for side in in_shape if type(side) is int and side > 0)
    if not shape or len(shape) < len(in_shape) or type(classes) is not int or classes < 0:
        raise ValueError(f"no network is for samples of shape {in_shape} and {classes} outputs")
    return Base(kind, spec, shape, classes, dict(settings))


def origin_of(net: nn.Module) -> Origin | None:
    """The network's Origin, or None for a stranger's module.

    >>> origin_of(nn.Linear(2, 1)) is None
    True
    """
    origin = getattr(net, _ATTRIBUTE, None)
    return origin if isinstance(origin, Origin) else None


def attach(net: nn.Module, origin: Origin) -> nn.Module:
    """Set the Origin on ``net`` itself; for ``nets.build`` and ``nets.steps`` only.

    >>> attach(nn.Linear(2, 1), Origin(Base("name", "mlp", (2,), 1, {}))).nervure_origin.base.spec
    'mlp'
    """
    object.__setattr__(net, _ATTRIBUTE, origin)
    return net
