"""Structural steps: each changes a network's shape, is plain data, and can be replayed.

A row of the table resolves to a function ``rebuild(net, settings) -> net`` that may change ``net`` in
place (it is a network just built, that nobody else holds) and loads no weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from nervure.errors import InputError
from nervure.nets.origin import Origin, Step, attach, origin_of
from nervure.registry import Table

__all__ = ["Rebuild", "derive", "get", "names", "replay", "table"]

Rebuild = Callable[[nn.Module, Mapping[str, object]], nn.Module]

table: Table[Rebuild] = Table(
    "structural step",
    {
        "resize": (
            "nervure.nets.resize:rebuild",
            "other widths: attributes and parameter shapes by module",
            "own",
        ),
        "mask": (
            "nervure.sparsify.masked:rebuild",
            "a mask beside the weight of each named layer",
            "own",
        ),
        "cluster": (
            "nervure.cluster.net:rebuild",
            "an encoder gains a head that assigns its latents to clusters",
            "own",
        ),
    },
    group="nervure.steps",
)
names = table.names
get = table.get


def derive(old: nn.Module, new: nn.Module, step: Step) -> nn.Module:
    """Mark ``new`` as ``old`` after ``step``; a network without Origin stays without one.

    Examples
    --------
    >>> from nervure import nets
    >>> net = nets.build("lenet-300-100", in_shape=(1, 8, 8), classes=10)
    >>> new = derive(net, net, Step("resize", {"modules": {}}))
    >>> [step.kind for step in nets.origin_of(new).steps]
    ['resize']
    """
    origin = origin_of(old)
    if step.kind not in table:
        table.row(step.kind)
    return new if origin is None else attach(new, Origin(origin.base, (*origin.steps, step)))


def replay(net: nn.Module, steps: tuple[Step, ...]) -> nn.Module:
    """Apply recorded steps, in order, to a freshly built base.

    >>> replay(nn.Linear(2, 1), (Step("resize", {"modules": {}}),))
    Linear(in_features=2, out_features=1, bias=True)
    """
    for step in steps:
        try:
            changed = get(step.kind)(net, step.settings)
        except (KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise InputError(f"step {step.kind!r} does not fit this network: {error}") from error
        net = derive(net, changed, step)
    return net
