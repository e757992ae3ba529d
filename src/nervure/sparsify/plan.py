"""plan: judge a network's edges, and say which stay."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nervure.data.dataset import Dataset, Indices
from nervure.errors import InputError
from nervure.judge import Criterion, Samples, settings_of
from nervure.nets.structure.silence import default_example
from nervure.objectives import Objective, objective_of
from nervure.observe.borrowed import borrowed
from nervure.observe.ready import refuse_compiled
from nervure.sparsify import rates
from nervure.sparsify.criteria import criteria, make
from nervure.sparsify.decide import Rules, decide, lost_units
from nervure.sparsify.layers import called, checked, others, prunable
from nervure.sparsify.mask import Mask
from nervure.sparsify.masked import bake, masks_of
from nervure.sparsify.samples import drawn, fitting
from nervure.train.runtime import pick_device

__all__ = ["plan", "prepared", "sampled", "silent"]

log = logging.getLogger(__name__)


def plan(
    net: nn.Module,
    ds: Dataset | None = None,
    criterion: str | Criterion = "isparse",
    sparsity: float | Mapping[str, float] | None = None,
    *,
    ranking: str = "layer",
    order: str = "input-to-output",
    layers: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    pattern: Sequence[int] | None = None,
    allow_empty: bool = False,
    samples: int | None = 2000,
    seed: int = 0,
    batch: int = 256,
    objective: Objective | None = None,
    example: Tensor | None = None,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
    **settings: object,
) -> Mask:
    """Decide which edges of each linear layer and convolution stay; no weight changes.

    Of n edges exactly ``n - round(s n)`` stay, those with the highest scores. Scores are compared at five significant
    digits; of equal ones the first stay, in the order in which the weight is stored. Biases and norms are no edges.
    Other modules with weights keep all of theirs, and so do layers that the network does not call, where the criterion
    looks at samples; ``mask.about.notes["not_judged"]`` names them.

    Parameters
    ----------
    net : Module
        Any network; it is not changed. Of a masked one the weights that it uses are judged.
    ds : Dataset or None
        Its training split is looked at; labels only by criteria that need them. None suits criteria of weights.
    criterion : str or Criterion
        A name of :data:`nervure.sparsify.criteria.criteria`.
    sparsity : float, or mapping of str to float
        The share of edges to remove, 0.5 if not given; by layer, and layers that are not named keep all.
    ranking : str
        ``"layer"``: the same share of every layer. ``"global"``: all edges are ranked together, by their scores over
        their layer's mean where the criterion's scores are not on one scale.
    order : str
        ``"input-to-output"``: all layers are judged in the dense network. ``"output-to-input"`` and ``"random"``: one
        after the other, each in a network that lacks the edges removed before.
    layers, exclude : sequence of str
        Only these layers (or those inside these modules); all but these.
    pattern : (int, int), optional
        ``(2, 4)``: of every 4 edges side by side along a layer's inputs 2 stay. It says the sparsity, and layers whose
        inputs do not come in whole groups keep all.
    allow_empty : bool
        Whether a layer may lose every edge.
    samples, batch : int or None, int
        How many training samples are looked at, at most; None for all. How many at a time.
    seed : int
        Of the sample, the random order, and criteria that draw.
    objective : callable, optional
        The loss for criteria that need gradients; by default the task's own.
    example : Tensor, optional
        A sample (1, ...), without data; by default of the shape that the network was built for.
    device : str
        Where the network is judged: ``auto``, ``cpu`` or ``cuda``.
    progress : callable, optional
        Told (done, all) samples of each pass.
    **settings
        Of the criterion, by name.

    Returns
    -------
    Mask

    Examples
    --------
    >>> from nervure import nets
    >>> net = nets.build("mlp", in_shape=(4,), classes=3, widths=[8])
    >>> mask = plan(net, None, "isparse", 0.5, initial="identity")
    >>> [(row.layer, row.edges, row.kept) for row in mask.rows]
    [('classifier.0', 32, 16), ('classifier.2', 24, 12)]
    """
    refuse_compiled(net)
    net = bake(net) if masks_of(net) else net
    known = rates.known_order(order)
    shape = rates.known_pattern(pattern)
    rank = rates.known_ranking(ranking, shape, known)
    rules = Rules(rank, known, shape, allow_empty, seed)
    known_layers = prunable(net, layers, exclude)
    chosen = prepared(criterion, ds, seed, settings)
    with borrowed(net, pick_device(device)):
        batches = sampled(net, ds, chosen, samples, seed, batch, example, progress)
        first = batches.example[0]
        unheard = silent(net, first, known_layers, chosen)
        judged = checked({name: module for name, module in known_layers.items() if name not in unheard})
        asked = rates.asked(judged, sparsity, ranking=rank, pattern=shape, allow_empty=allow_empty)
        task = "classification" if ds is None else ds.task
        loss = objective_of(task, objective) if chosen.needs_gradient else None
        # Weights alone need no sample, and then there may be none.
        known_example = first if ds is not None or example is not None or chosen.reads_data else None
        masks, _ = decide(net, batches, chosen, judged, asked, rules, example=known_example, objective=loss)
    lost = lost_units(masks)
    if lost:
        some = ", ".join(f"{name} {count}" for name, count in lost.items())
        log.warning("units that lose every incoming edge, by layer: %s", some)
    left = [*unheard, *others(net, layers, exclude)]
    notes = {"lost_units": lost, "not_judged": left}
    whole = sparsity if isinstance(sparsity, Mapping) else next(iter(asked.values()), 0.0)
    return Mask.for_net(
        net, masks, criterion=criteria.name_of(chosen), asked=asked if rank == "layer" else None,
        sparsity=dict(whole) if isinstance(whole, Mapping) else max(asked.values()) if shape else whole,
        settings=settings_of(chosen), ranking=rank, order=known, pattern=shape, seed=seed,
        samples=len(batches.at), notes={name: one for name, one in notes.items() if one},
    )  # fmt: skip


def silent(
    net: nn.Module, example: Tensor, layers: Mapping[str, nn.Module], criterion: Criterion | type[Criterion]
) -> list[str]:
    """Layers that the network does not call, such as a clusterer's decoder, where the criterion looks at samples.

    None if it calls no layer at all.

    >>> from nervure.sparsify.criteria import get
    >>> net = nn.Sequential(nn.Linear(2, 2))
    >>> net.spare = nn.Linear(2, 2)
    >>> net.forward = lambda x: net[0](x)
    >>> silent(net, torch.zeros(1, 2), prunable(net), get("wanda"))
    ['spare']
    >>> silent(net, torch.zeros(1, 2), prunable(net), get("magnitude"))
    []
    """
    heard = called(net, example, tuple(layers)) if criterion.reads_data else []
    return [name for name in layers if name not in heard] if heard else []


def prepared(criterion: str | Criterion, ds: Dataset | None, seed: int, settings: Mapping[str, Any]) -> Criterion:
    """The criterion, made for the data's task; one that must train is refused.

    >>> prepared("lottery", None, 0, {})
    Traceback (most recent call last):
    nervure.errors.InputError: criterion 'lottery' trains the network; run it with sparsify.train_with
    """
    own = dict(settings)
    if criterion == "isparse" and ds is not None and ds.task != "classification":
        own.setdefault("softmax", False)
    chosen = make(criterion, seed, own)
    if chosen.needs_training:
        raise InputError(f"criterion {criteria.name_of(chosen)!r} trains the network; run it with sparsify.train_with")
    return chosen


def sampled(
    net: nn.Module,
    ds: Dataset | None,
    criterion: Criterion,
    samples: int | None,
    seed: int,
    batch: int,
    example: Tensor | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Samples:
    """The samples that a criterion is to look at, tried on the network; none where it looks at weights alone.

    >>> from nervure import nets
    >>> net = nets.build("mlp", in_shape=(4,), classes=2)
    >>> len(sampled(net, None, make("magnitude"), 10, 0, 8).at)
    0
    """
    reads = criterion.reads_data
    none: Indices = np.empty(0, dtype=np.int64)
    if ds is None or not reads:
        if ds is not None:
            example = ds.batch(ds.indices("train")[:1]).x
        elif example is None and reads:
            example = default_example(net)[:1]
        if reads and example is not None:
            fitting(net, example)
        return Samples(None, none, batch, [torch.zeros(1, 1) if example is None else example[:1]], progress)
    at = drawn(ds, samples, seed, labelled=criterion.needs_labels)
    first = ds.batch(at[:1]).x
    fitting(net, first)
    return Samples(ds, at, batch, [first], progress)
