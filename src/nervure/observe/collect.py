"""collect: one pass over data, many statistics, any layer."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.objectives import Objective
from nervure.objectives.call import call
from nervure.observe import ranks
from nervure.observe.borrowed import borrowed
from nervure.observe.layout import laid_out_as
from nervure.observe.place import Place
from nervure.observe.ready import refuse_closed
from nervure.observe.statistic import Site, Statistic
from nervure.registry import nearest

__all__ = ["collect"]


def collect(
    net: nn.Module,
    batches: Iterable[Batch | Tensor],
    wanted: Mapping[str | Site, Sequence[Statistic]],
    *,
    objective: Objective | None = None,
    device: torch.device | str | None = None,
    progress: Callable[[int], None] | None = None,
    reduce: bool = True,
    compiled: bool | None = None,
    axes: Mapping[str, int] | None = None,
) -> dict[Site, dict[Hashable, Statistic]]:
    """Run ``net`` once over ``batches`` and accumulate every wanted statistic.

    The network is evaluated (dropout off, batch norm fixed) and handed back as it was, also after an error.
    Memory doesn't grow with the number of samples. A module that is called more than once in a forward pass
    is seen at each call, and each call counts as so many more examples.

    Parameters
    ----------
    net : Module
        Called on the batch, with its mask where the network takes one, or by ``objective`` where a gradient is wanted.
    batches : iterable of Batch or Tensor
        A tensor stands for a batch without labels.
    wanted : mapping of site to statistics
        By module name (its output) or :class:`Site`. The statistics given are patterns, left unchanged;
        one that has seen data before goes on from there (of several ranks that merge, from what the first had seen).
        Of equal keys at a site one is computed.
    objective : callable, optional
        ``(net, batch) -> (loss, logs)``, the loss a mean over the batch: gradients are scaled by the batch's
        length, so that each is that of the example's own loss. Needed where a gradient is wanted.
    device : optional
        Where to run; by default where the network is.
    progress : callable, optional
        Told the number of samples seen, after each batch.
    reduce : bool
        In a ``torch.distributed`` group, merge what all ranks saw, on every rank. All must call.
    compiled : bool, optional
        Compiled kernels (extra ``fast``): None where installed, True to insist, False for plain torch.
    axes : mapping of module name to int, optional
        The axis of units, where the rule is wrong for a module: the last axis for linear, embedding, layer
        norm, recurrent and attention modules, and for all within a transformer; 1 for all others. Examples lie on
        axis 0, or 1 where a module, or the transformer around it, says ``batch_first=False``. Of a tuple, list or
        mapping the first tensor is observed.

    Returns
    -------
    dict of Site to dict of key to Statistic

    >>> from nervure.observe import Moments, Site
    >>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    >>> found = collect(net, [torch.ones(3, 2)], {"1": [Moments()]})
    >>> found[Site("1")][Moments().key].result().examples
    3
    """
    refuse_closed(net)
    places = _places(net, wanted, compiled, axes or {})
    gradient = any(place.gradient for place in places)
    if gradient and objective is None:
        names = ", ".join(place.site.module for place in places if place.gradient)
        raise InputError(f"gradients are wanted at {names}; give an objective: (net, batch) -> (loss, logs)")
    together = reduce and ranks.active()
    if together and ranks.rank():
        for place in places:
            place.forget()
    error: Exception | None = None
    seen = 0
    try:
        seen = _run(net, batches, places, objective if gradient else None, device, progress)
        if not seen and not together:
            raise InputError("no batches to observe; the loader is empty")
    except Exception as met:
        if not together:
            raise
        error = met
    if together:
        ranks.agree(error)
        for place in places:
            place.exchange(ranks.merged)
    for place in places:
        place.check_called()
    return {place.site: place.statistics() for place in places}


def _places(
    net: nn.Module,
    wanted: Mapping[str | Site, Sequence[Statistic]],
    compiled: bool | None,
    axes: Mapping[str, int],
) -> list[Place]:
    modules = dict(net.named_modules())
    asked: dict[Site, dict[Hashable, Statistic]] = {}
    for key, statistics in wanted.items():
        site = key if isinstance(key, Site) else Site(key)
        for name in (site.module, *axes):
            if name not in modules:
                raise InputError(f"unknown layer {name!r}; {nearest(name, tuple(filter(None, modules)))}")
        if site.side not in ("output", "input", "gradient"):
            raise InputError(f"unknown side {site.side!r} of layer {site.module!r}; give output, input or gradient")
        for statistic in statistics:
            asked.setdefault(site, {}).setdefault(statistic.key, statistic)
    found = []
    for site, those in asked.items():
        module, around, axis = modules[site.module], laid_out_as(net, site.module), axes.get(site.module)
        found.append(Place(site, module, list(those.values()), compiled, axis, around))
    return found


def _run(
    net: nn.Module,
    batches: Iterable[Batch | Tensor],
    places: list[Place],
    objective: Objective | None,
    device: torch.device | str | None,
    progress: Callable[[int], None] | None,
) -> int:
    """The pass itself; returns the number of samples."""
    seen = 0
    with ExitStack() as stack:
        there = stack.enter_context(borrowed(net, device, frozen=objective is not None))
        for place in places:
            stack.callback(place.attach().remove)
        for item in batches:
            batch = _batch(item, seen).to(there)
            for place in places:
                place.batch = batch
            if objective is None:
                with torch.inference_mode():
                    call(net, batch)
            else:
                _backward(net, batch, objective)
            seen += len(batch.x)
            for place in places:
                place.check_values(seen)
            if progress is not None:
                progress(seen)
    return seen


def _batch(item: Batch | Tensor, seen: int) -> Batch:
    if isinstance(item, Tensor):
        return Batch(item, None, torch.arange(seen, seen + len(item)))
    if isinstance(item, Batch):
        return item
    raise InputError(f"a batch is a {type(item).__name__}; give nervure.data.Batch values or tensors")


def _backward(net: nn.Module, batch: Batch, objective: Objective) -> None:
    if batch.y is None:
        raise InputError("gradients are wanted, but the batches hold no labels; give data with y")
    with torch.inference_mode(False), torch.enable_grad():
        loss, _ = objective(net, batch)
        if loss.ndim or not bool(loss.isfinite()):
            raise InputError(f"the objective gave {loss.detach()}; a gradient needs one finite number")
        if loss.requires_grad:
            torch.autograd.backward(loss * len(batch.x))
