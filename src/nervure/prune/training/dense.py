"""The hidden dense layers of a network: what iterative pruning and sparse training work on."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from nervure.errors import InputError
from nervure.nets.structure.groups import Group
from nervure.nets.structure.surgery import Graph
from nervure.registry import nearest

__all__ = ["dense_groups", "others", "spent_layers", "widths_of"]


def dense_groups(net: nn.Module, graph: Graph, only: Sequence[str] = ()) -> tuple[Group, ...]:
    """The groups that can be cut and whose units are those of dense layers alone, in the order of calls.

    Convolutions and the output layer are never among them (spec majority-voting-pruning, 4 and 6).

    Parameters
    ----------
    net, graph : Module, Graph
        A network, and what was traced in it.
    only : sequence of str
        Leave out layers that are not named; one that is down to its last unit may be named, though it has no group.

    Examples
    --------
    >>> import torch
    >>> from nervure.nets.structure.surgery import trace
    >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
    >>> [group.name for group in dense_groups(net, trace(net, torch.randn(2, 1, 4, 4)))]
    ['2']
    """
    modules = dict(net.named_modules())
    found = [group for group in graph.free if all(isinstance(modules[layer], nn.Linear) for layer in group.layers)]
    known = (*(layer for group in found for layer in group.layers), *spent_layers(net, graph))
    for name in only:
        if name not in known:
            raise InputError(f"no hidden dense layer {name!r} that can be cut; {nearest(name, known)}")
    return tuple(group for group in found if not only or any(layer in only for layer in group.layers))


def spent_layers(net: nn.Module, graph: Graph) -> tuple[str, ...]:
    """Dense layers of a single unit, the last one aside: cuts may have left them so, and no group is made of them.

    >>> import torch
    >>> from nervure.nets.structure.surgery import trace
    >>> net = nn.Sequential(nn.Linear(4, 1), nn.ReLU(), nn.Linear(1, 3))
    >>> spent_layers(net, trace(net, torch.randn(2, 4)))
    ('0',)
    """
    modules = dict(net.named_modules())
    called = [name for name in graph.order if isinstance(modules[name], nn.Linear)]
    return tuple(name for name in called[:-1] if modules[name].out_features == 1)


def others(graph: Graph, chosen: Sequence[Group]) -> tuple[str, ...]:
    """The layers of all other groups that could be cut.

    >>> import torch
    >>> from nervure.nets.structure.surgery import trace
    >>> net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3))
    >>> graph = trace(net, torch.randn(2, 4))
    >>> others(graph, graph.free[:1])
    ('2',)
    """
    taken = {group.name for group in chosen}
    return tuple(layer for group in graph.free if group.name not in taken for layer in group.layers)


def widths_of(net: nn.Module, layers: Sequence[str]) -> tuple[int, ...]:
    """How many units the dense layers have.

    >>> widths_of(nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3)), ["0"])
    (5,)
    """
    return tuple(int(net.get_submodule(layer).out_features) for layer in layers)  # type: ignore[arg-type]
