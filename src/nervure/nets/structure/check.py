"""The check of every cut: the cut network beside the masked one, on the same three samples."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from nervure.errors import InputError
from nervure.nets.seed import seeded
from nervure.nets.structure.cut import cut
from nervure.nets.structure.groups import Group, Places
from nervure.nets.structure.idle import called_in_training
from nervure.nets.structure.silence import attach
from nervure.nets.structure.surgery import Graph
from nervure.nets.structure.twin import tensors
from nervure.observe.borrowed import borrowed

__all__ = [
    "TOLERANCE",
    "as_inputs",
    "checked",
    "cut_as",
    "difference",
    "halves",
    "offenders",
    "outputs",
    "proven",
    "redraw",
    "refuse_broken",
    "small",
    "smaller",
    "three",
]

TOLERANCE = 1e-5
# Above this, a difference is no matter of rounding, and double precision need not be asked.
_FAR = 1e-2
Inputs = Sequence[Tensor]
Kept = Mapping[str, Places]


def outputs(net: nn.Module, inputs: Inputs) -> list[Tensor]:
    """Every tensor that the network gives, in evaluation mode; mode and hooks stay as they were."""
    with borrowed(net) as device, torch.inference_mode(), seeded(0):
        return tensors(net(*(one.to(device) for one in inputs)))


def difference(one: Sequence[Tensor], two: Sequence[Tensor]) -> float:
    """The largest difference relative to the largest value; infinite where shapes differ or a value is no number.

    >>> difference([torch.tensor([1.0, 2.0])], [torch.tensor([1.0, 2.5])])
    0.2
    """
    if [tensor.shape for tensor in one] != [tensor.shape for tensor in two]:
        return float("inf")
    worst = 0.0
    for mine, theirs in zip(one, two, strict=True):
        if not mine.numel() or not mine.is_floating_point():
            worst = worst if torch.equal(mine, theirs) else float("inf")
            continue
        gap = float((mine - theirs).abs().max())
        scale = float(torch.maximum(mine.abs().max(), theirs.abs().max()))
        if gap != gap:
            return float("inf")
        worst = max(worst, gap / scale if scale else 0.0)
    return worst


def checked(
    net: nn.Module, groups: Sequence[Group], kept: Kept, inputs: Inputs, training: bool = False
) -> tuple[nn.Module | None, str]:
    """The cut network, and nothing; or nothing, and why it is not what the masked one is.

    A difference that might be rounding is decided in double precision. With ``training`` the cut network must run in
    training mode too, where it may call layers that it does not call in evaluation.
    """
    try:
        thin = cut(net, groups, kept)
        gap = _gap(net, thin, groups, kept, inputs)
        if TOLERANCE < gap < _FAR:
            wide = copy.deepcopy(net).double()
            doubled = [one.double() if one.is_floating_point() else one for one in inputs]
            gap = _gap(wide, copy.deepcopy(thin).double(), groups, kept, doubled)
    except Exception as error:  # a stranger's forward may raise anything once its sizes have changed
        return None, f"without some of its units the network fails: {_line(error)}"
    if gap <= TOLERANCE:
        try:
            if training:
                called_in_training(thin, inputs)
        except Exception as error:
            return None, f"without some of its units the network fails in training: {_line(error)}"
        return thin, ""
    return None, f"without some of its units the network gives another result than with them silenced ({gap:.1e})"


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _gap(net: nn.Module, thin: nn.Module, groups: Sequence[Group], kept: Kept, inputs: Inputs) -> float:
    handles = attach(net, groups, kept)
    try:
        masked = outputs(net, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return difference(masked, outputs(thin, inputs))


def offenders(
    net: nn.Module, groups: Sequence[Group], kept: Kept, inputs: Inputs, training: bool = False
) -> dict[str, str]:
    """The groups that spoil the cut, and how: each alone first, then one after the other."""
    found: dict[str, str] = {}
    for name in kept:
        if reason := checked(net, groups, {name: kept[name]}, inputs, training)[1]:
            found[name] = reason
    good = {name: units for name, units in kept.items() if name not in found}
    if checked(net, groups, good, inputs, training)[1]:
        together: dict[str, Places] = {}
        for name, units in good.items():
            if reason := checked(net, groups, {**together, name: units}, inputs, training)[1]:
                found[name] = f"together with others: {reason}"
            else:
                together[name] = units
    return found


def halves(graph: Graph) -> dict[str, Places]:
    """About half of every group that can be cut, drawn at random but always the same, equally in each block."""
    generator = np.random.default_rng(0)
    kept = {}
    for group in graph.free:
        blocks = [np.flatnonzero(group.block == one) for one in range(group.step)]
        parts = [generator.choice(one, max(1, len(one) // 2), replace=False) for one in blocks]
        kept[group.name] = np.sort(np.concatenate(parts))
    return kept


def _others(graph: Graph, kept: Kept) -> dict[str, Places]:
    """The other half of every group; of one that has no other, the same."""
    found = {}
    for name, units in kept.items():
        rest = np.delete(np.arange(graph.group(name).units), units)
        found[name] = rest if len(rest) else units
    return found


def proven(twin: nn.Module, graph: Graph, inputs: Inputs) -> Graph:
    """The graph with every group kept whole that a trial cut shows to be wrong, where there is any doubt.

    Either half of the units is tried, because a single unit may decide what the others do, such as the largest one.
    ``twin`` is a copy of the network whose weights may be replaced: vectors are drawn anew, because a fresh network's
    norms and scales hide mistakes. Layers that are called in training alone are no longer idle in what is returned.
    """
    half = halves(graph)
    if not half or graph.certain:
        return graph
    awake = _awake(twin, graph, inputs)
    training = bool(awake)
    graph = replace(graph, idle=tuple(name for name in graph.idle if name not in awake))
    held = {name: tensor.data for name, tensor in _all(twin)}
    redraw(twin)
    for trial in (half, _others(graph, half)):
        free = {group.name for group in graph.free}
        kept = {name: units for name, units in trial.items() if name in free}
        thin, reason = checked(twin, graph.groups, kept, inputs, training)
        if reason and not all(bool(one.isfinite().all()) for one in outputs(twin, inputs) if one.is_floating_point()):
            for name, tensor in _all(twin):
                tensor.data = held[name]
            thin, reason = checked(twin, graph.groups, kept, inputs, training)
        if thin is None:
            graph = graph.without(offenders(twin, graph.groups, kept, inputs, training))
    return graph


def _awake(net: nn.Module, graph: Graph, inputs: Inputs) -> set[str]:
    """The idle layers that the network calls in training; none where it cannot be trained on samples alone."""
    try:
        return called_in_training(net, inputs, graph.idle) if graph.idle else set()
    except Exception:  # such as a forward that in training wants labels too
        return set()


def _all(net: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from net.named_parameters()
    yield from net.named_buffers()


def redraw(net: nn.Module) -> None:
    """Replace vectors, and tensors of one value or next to none, by random ones, so that no two units are alike.

    >>> norm = nn.BatchNorm1d(4)
    >>> redraw(norm)
    >>> bool((norm.weight == 1).any())
    False
    """
    generator = torch.Generator().manual_seed(0)
    for name, tensor in _all(net):
        if not tensor.is_floating_point() or not tensor.numel() or (tensor.ndim > 1 and _speaks(tensor)):
            continue
        leaf = name.rpartition(".")[2]
        drawn = torch.rand(tensor.shape, generator=generator).to(tensor)
        # The old values may be shared with another network, so the tensor gets new memory.
        tensor.data = (drawn - 0.5) / 2 if "bias" in leaf or "mean" in leaf else drawn + 0.5


def _speaks(tensor: Tensor, values: int = 256) -> bool:
    """Whether some of its values, evenly spread, differ and are not all tiny."""
    flat = tensor.detach().flatten()
    some = flat[:: max(1, -(-len(flat) // values))]
    return float(some.abs().max()) > 1e-3 and bool((some != some[0]).any())


def as_inputs(example: Tensor | Sequence[Tensor]) -> list[Tensor]:
    """The tensors that a network reads, from one or several; anything else is refused.

    >>> as_inputs(torch.zeros(3, 4))[0].shape
    torch.Size([3, 4])
    """
    given = example if isinstance(example, tuple | list) else [example]
    inputs = [one for one in given if isinstance(one, Tensor)]
    if not inputs or len(inputs) < len(given):
        raise InputError(f"an example of type {type(example).__name__}; give a tensor (n, ...), or several")
    if any(not one.ndim or not len(one) for one in inputs):
        raise InputError("an example needs at least one sample, as (n, ...)")
    return inputs


def three(example: Tensor | Sequence[Tensor]) -> list[Tensor]:
    """Exactly three samples of each input, for no size of a network is likely to be a multiple of three samples.

    >>> three(torch.zeros(1, 4))[0].shape
    torch.Size([3, 4])
    """
    inputs = as_inputs(example)
    generator = torch.Generator().manual_seed(0)
    found = []
    for one in inputs:
        batch = one[torch.arange(3, device=one.device) % len(one)].clone()
        if batch.is_floating_point() and bool((batch == batch.flatten()[0]).all()):
            batch = torch.randn(batch.shape, generator=generator).to(batch)
        found.append(batch)
    return found


def small(net: nn.Module, inputs: Inputs, sides: Sequence[int] = (32, 64, 128)) -> list[Tensor]:
    """The same samples with smaller maps, if the network takes them and still gives an output for each sample.

    What is cut are units, whatever the size of the maps; so a check need not run on large ones.

    >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> small(net, [torch.zeros(3, 1, 224, 224)])[0].shape
    torch.Size([3, 1, 32, 32])
    """
    for cropped in smaller(inputs, sides):
        try:
            found = outputs(net, cropped)
        except Exception:  # a network for one size of map alone
            continue
        if all(one.ndim and len(one) == len(cropped[0]) for one in found):
            return cropped
    return list(inputs)


def smaller(inputs: Inputs, sides: Sequence[int] = (32, 64, 128)) -> Iterator[list[Tensor]]:
    """Crops of single inputs of maps, the smallest first."""
    for side in sides if len(inputs) == 1 and inputs[0].ndim == 4 else ():
        if min(inputs[0].shape[2:]) > side:
            yield [inputs[0][:, :, :side, :side].contiguous()]


def cut_as(
    net: nn.Module, graph: Graph, kept: Mapping[str, Places], inputs: Sequence[Tensor]
) -> tuple[nn.Module | None, dict[str, str]]:
    """The checked cut network, and the groups that had to stay whole with why; None if none could be cut."""
    thin, reason = checked(net, graph.groups, kept, inputs)
    if thin is not None:
        return thin, {}
    refuse_broken(net, inputs)
    found = offenders(net, graph.groups, kept, inputs)
    good = {name: units for name, units in kept.items() if name not in found}
    if not good:
        return None, found or {"the network": reason}
    return checked(net, graph.groups, good, inputs)[0], found


def refuse_broken(net: nn.Module, inputs: Sequence[Tensor]) -> None:
    """A network that fails, or gives NaN, before anything is cut has a fault of its own.

    >>> net = nn.Linear(2, 1).requires_grad_(False)
    >>> net.bias[0] = float("inf")
    >>> refuse_broken(net, [torch.ones(1, 2)])
    Traceback (most recent call last):
    nervure.errors.InputError: Linear gives NaN or infinite values before anything is cut; check its weights
    """
    try:
        given = outputs(net, inputs)
    except Exception as error:
        shapes = ", ".join(str(tuple(one.shape)) for one in inputs)
        raise InputError(f"{type(net).__name__} does not run on input of shape {shapes}: {_line(error)}") from error
    if not all(bool(one.isfinite().all()) for one in given if one.is_floating_point()):
        raise InputError(f"{type(net).__name__} gives NaN or infinite values before anything is cut; check its weights")
