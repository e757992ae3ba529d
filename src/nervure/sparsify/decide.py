"""From judgements to masks: which edges of each layer stay, in which order of layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from nervure.data.counter import order as random_order
from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.judge import Criterion, Judgement, Layer, Ranking, judge
from nervure.nets.structure.copying import copied
from nervure.objectives import Objective
from nervure.sparsify.layers import by_call, weight_of
from nervure.sparsify.mask import Order
from nervure.sparsify.rates import Asked
from nervure.sparsify.samples import fitting
from nervure.sparsify.select import highest, highest_of_all, kept_count, patterned

__all__ = ["Rules", "decide", "lost_units"]

_DRAW = 0x0DE4


@dataclass(frozen=True)
class Rules:
    """How scores become masks: ranked by layer or globally, layers in which order, and whether by a pattern.

    >>> Rules().ranking
    'layer'
    """

    ranking: Ranking = "layer"
    order: Order = "input-to-output"
    pattern: tuple[int, int] | None = None
    allow_empty: bool = False
    seed: int = 0


def decide(
    net: nn.Module,
    batches: Iterable[Batch],
    criterion: Criterion,
    layers: Sequence[Layer],
    asked: Asked,
    rules: Rules,
    *,
    example: Tensor | None = None,
    objective: Objective | None = None,
) -> tuple[dict[str, Tensor], dict[str, Judgement]]:
    """Masks by layer, and the judgements that they rest on.

    Parameters
    ----------
    net : Module
        Left as it was; its layers hold their weights themselves.
    batches : iterable of Batch
        What the criterion looks at; read as often as it needs.
    layers : sequence of Layer
        Of ``net``.
    asked : dict of str to float
        The share of edges that each layer is to lose.
    rules : Rules
        Of the ranking, the order and the pattern.
    example : Tensor, optional
        A sample (1, ...), to find the order of layers with.
    objective : callable, optional
        For criteria that need gradients.

    Examples
    --------
    >>> from nervure.sparsify.criteria import make
    >>> net = nn.Sequential(nn.Linear(2, 1, bias=False)).requires_grad_(False)
    >>> net[0].weight[:] = torch.tensor([[1.0, -2.0]])
    >>> layer = Layer("0", net[0], 1)
    >>> decide(net, [], make("magnitude"), [layer], {"0": 0.5}, Rules())[0]
    {'0': tensor([[False,  True]])}
    """
    if rules.order == "input-to-output":
        found = judge(net, batches, {"": criterion}, layers=layers, objective=objective)[""]
        masks = _chosen(found, criterion, asked, rules)
    else:
        masks, found = _in_turn(net, batches, criterion, layers, asked, rules, example, objective)
    if not rules.allow_empty:
        for name, mask in masks.items():
            if mask.numel() and not mask.numpy().any():
                raise InputError(
                    f"layer {name!r} would lose all of its {mask.numel()} edges; ask for less, exclude it, "
                    "or say allow_empty=True"
                )
    return masks, found


def lost_units(masks: Mapping[str, Tensor]) -> dict[str, int]:
    """How many units of each layer lose every incoming edge, of the layers with such units.

    >>> lost_units({"a": torch.tensor([[True, False], [False, False]]), "b": torch.ones(1, 1, dtype=torch.bool)})
    {'a': 1}
    """
    counts = {name: int(np.count_nonzero(~mask.flatten(1).numpy().any(1))) for name, mask in masks.items()}
    return {name: count for name, count in counts.items() if count}


def _in_turn(
    net: nn.Module,
    batches: Iterable[Batch],
    criterion: Criterion,
    layers: Sequence[Layer],
    asked: Asked,
    rules: Rules,
    example: Tensor | None,
    objective: Objective | None,
) -> tuple[dict[str, Tensor], dict[str, Judgement]]:
    """Layer after layer, each judged in a network without the edges that went before (spec isparse, 2.9)."""
    if objective is not None:
        criterion = criterion.minimising(objective)
    # What it makes of the whole network, as of its outputs, it makes of the dense one.
    criterion = criterion.prepare(net, batches, layers)
    names = [layer.name for layer in layers]
    if rules.order == "random":
        turn = [names[at] for at in random_order(len(names), rules.seed, _DRAW)]
    elif example is None:
        turn = names[::-1]
    else:
        fitting(net, example)
        turn = by_call(net, example, names)[::-1]
    work = copied(net)
    masks: dict[str, Tensor] = {}
    found: dict[str, Judgement] = {}
    for name in turn:
        module = work.get_submodule(name)
        layer = Layer(name, module, next(one.units for one in layers if one.name == name))
        judged = judge(work, batches, {"": criterion}, layers=[layer], objective=objective)[""]
        masks |= _chosen(judged, criterion, asked, rules)
        found |= judged
        with torch.no_grad():
            weight = weight_of(module)
            weight.masked_fill_(~masks[name].to(weight.device), 0)
    return {name: masks[name] for name in names}, {name: found[name] for name in names}


def _chosen(found: Mapping[str, Judgement], criterion: Criterion, asked: Asked, rules: Rules) -> dict[str, Tensor]:
    scores = {name: one.scores for name, one in found.items()}
    if rules.ranking == "global":
        if not criterion.comparable:
            scores = {name: _scaled(one) for name, one in scores.items()}
        share = next(iter(asked.values()))
        edges = sum(one.numel() for one in scores.values())
        return highest_of_all(scores, kept_count(edges, share))
    masks = {}
    for name, one in scores.items():
        if rules.pattern is not None and asked[name]:
            masks[name] = patterned(one, rules.pattern)
        else:
            masks[name] = highest(one, kept_count(one.numel(), asked[name]))
    return masks


def _scaled(scores: Tensor) -> Tensor:
    """In units of the layer's mean score, so that layers can be ranked together."""
    mean = float(np.mean(scores.detach().cpu().numpy(), dtype=np.float64)) if scores.numel() else 0.0
    return scores / mean if mean else scores
