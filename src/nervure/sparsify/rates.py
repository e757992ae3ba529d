"""Which share of each layer's edges is to go, from what the caller asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast, get_args

from nervure.errors import InputError
from nervure.judge import Layer, Ranking
from nervure.registry import nearest
from nervure.sparsify.layers import weight_of
from nervure.sparsify.mask import Order
from nervure.sparsify.select import fits, kept_count

__all__ = ["Asked", "Sparsity", "asked", "known_order", "known_pattern", "known_ranking"]

Sparsity = float | Mapping[str, float]
Asked = dict[str, float]

_RANKINGS, _ORDERS = get_args(Ranking), get_args(Order)


def asked(
    layers: Sequence[Layer],
    sparsity: Sparsity | None,
    *,
    ranking: Ranking = "layer",
    pattern: tuple[int, int] | None = None,
    allow_empty: bool = False,
) -> Asked:
    """The share of edges to remove, by layer; layers that a mapping does not name keep all.

    A layer that would lose every edge is refused by name unless ``allow_empty``. Under a pattern, layers whose inputs
    do not come in whole groups keep all.

    >>> from torch import nn
    >>> layers = (Layer("a", nn.Linear(4, 2), 2), Layer("b", nn.Linear(2, 1), 1))
    >>> asked(layers, 0.5), asked(layers, {"a": 0.25}), asked(layers, None, pattern=(1, 4))
    ({'a': 0.5, 'b': 0.5}, {'a': 0.25, 'b': 0.0}, {'a': 0.75, 'b': 0.0})
    """
    names = tuple(layer.name for layer in layers)
    if pattern is not None:
        return _by_pattern(layers, sparsity, pattern)
    if isinstance(sparsity, Mapping):
        if ranking == "global":
            raise InputError("ranking='global' decides each layer's share itself; give one number as sparsity")
        for name in sparsity:
            if name not in names:
                raise InputError(f"sparsity names the layer {name!r}; {nearest(name, names)}")
        found = {name: _share(sparsity.get(name, 0.0), f"sparsity of {name!r}") for name in names}
    else:
        found = dict.fromkeys(names, _share(0.5 if sparsity is None else sparsity, "sparsity"))
    if not allow_empty and (ranking == "layer" or all(share == 1 for share in found.values())):
        for layer in layers:
            edges = weight_of(layer.module).numel()
            if edges and not kept_count(edges, found[layer.name]):
                raise InputError(
                    f"layer {layer.name!r} would lose all of its {edges} edges at sparsity {found[layer.name]:g}; "
                    "ask for less, exclude it, or say allow_empty=True"
                )
    return found


def known_pattern(pattern: Sequence[int] | None) -> tuple[int, int] | None:
    """``(n, m)``: n of every m edges stay.

    >>> known_pattern([2, 4])
    (2, 4)
    """
    if pattern is None:
        return None
    whole = len(pattern) == 2 and all(isinstance(one, int) and not isinstance(one, bool) for one in pattern)
    if not whole or not 0 < pattern[0] < pattern[1]:
        raise InputError(f"pattern = {pattern!r}; give (n, m), of every m edges n stay: (2, 4)")
    return int(pattern[0]), int(pattern[1])


def known_ranking(ranking: str, pattern: tuple[int, int] | None, order: str) -> Ranking:
    """``ranking``, if there is such a one and it goes with the rest.

    >>> known_ranking("layer", None, "random")
    'layer'
    """
    if ranking not in _RANKINGS:
        raise InputError(f"ranking = {ranking!r}; {nearest(ranking, _RANKINGS)}")
    if ranking == "global" and pattern is not None:
        raise InputError("a pattern takes the same share of every layer; leave ranking='layer'")
    if ranking == "global" and order != "input-to-output":
        raise InputError("ranking='global' decides all layers at once; orders are of ranking='layer'")
    return cast(Ranking, ranking)


def known_order(order: str) -> Order:
    """``order``, if there is such a one.

    >>> known_order("random")
    'random'
    """
    if order not in _ORDERS:
        raise InputError(f"order = {order!r}; {nearest(order, _ORDERS)}")
    return cast(Order, order)


def _share(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InputError(f"{what} = {value!r}; give the share of edges to remove, from 0 to 1")
    return float(value)


def _by_pattern(layers: Sequence[Layer], sparsity: Sparsity | None, pattern: tuple[int, int]) -> Asked:
    stay, group = pattern
    share = 1 - stay / group
    if sparsity is not None and (isinstance(sparsity, Mapping) or abs(_share(sparsity, "sparsity") - share) > 1e-9):
        raise InputError(f"the pattern {stay}:{group} removes {share:g} of the edges; leave sparsity out")
    found = {layer.name: share if fits(weight_of(layer.module).shape, group) else 0.0 for layer in layers}
    if not any(found.values()):
        raise InputError(f"no layer has inputs in whole groups of {group}, so none can take the pattern {stay}:{group}")
    return found
