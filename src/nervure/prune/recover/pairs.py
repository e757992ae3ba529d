"""What a cut layer reads beside what the uncut one gave, as normal equations, one layer after the other."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.nets.structure.twin import tensors
from nervure.observe.borrowed import device_of
from nervure.observe.crossgram import CrossGramResult, Window, patches, picked_positions
from nervure.prune.criteria.contributions import gathered
from nervure.prune.criteria.faithful import unfaithful
from nervure.prune.criteria.seen import example_of
from nervure.prune.recover.estimate import NormalEquations
from nervure.prune.recover.passes import visit
from nervure.prune.recover.recovery import Given

__all__ = ["CACHE_BYTES", "WHOLE_BYTES", "Pairs", "Places"]

log = logging.getLogger(__name__)

CACHE_BYTES = 1 << 28
"""Targets of up to this size (256 MiB) are kept from one pass of the uncut network; others come batch by batch."""

WHOLE_BYTES = 1 << 30
"""The cut network reads all samples as one batch where all its activations together take up to this size (1 GiB)."""

_HELD_OUT = 5  # every fifth batch
_PATCH_VALUES = 1 << 24  # unfolded at a time: 64 MiB
Estimate = Callable[[str, Sequence[Sequence[CrossGramResult]]], None]


class Pairs:
    """Normal equations of each layer that lost inputs: patches from the cut network, targets from the uncut one.

    Targets, at the positions that are read, are kept from one pass of the uncut network, up to ``CACHE_BYTES``.
    Where they all fit, each layer reads a row a sample, and the samples are few enough for ``WHOLE_BYTES``, one pass of
    the cut network is enough: it stops at each layer, which is estimated on the spot, and goes on with the new weights.
    Otherwise the cut network is passed once a layer, as far as that layer, and the uncut one too where a layer's
    targets were not kept; then no more than one batch is held. Beside this come the normal equations of one layer, in
    float64.

    Parameters
    ----------
    net : Module
        The cut network; the caller changes its layers between one estimate and the next.
    given : Given
    positions : int or None
        How many positions of each map are read at most.
    apart : bool
        Whether every fifth batch is kept apart, as a hold-out.
    """

    def __init__(self, net: nn.Module, given: Given, positions: int | None, *, apart: bool = False) -> None:
        self.net, self.given, self.positions, self.apart = net, given, positions, apart
        self.device = device_of(net)
        self._drawn: dict[tuple[int, int, int], Tensor] = {}
        two = example_of(given.batches())
        wanted = _known((*given.consumers, *given.other_consumers), (net, given.original), two)
        self.calls, sizes, live, self._unclear = _sizes(net, two, wanted, positions)
        self.order = tuple(self.calls)
        self.kept = {name: given.outputs(name).to(self.device) for name in self.order}
        samples = len(given.at) / len(two.x)
        self.cached = self._remember({layer: math.ceil(size * samples) for layer, size in sizes.items()})
        once = all(number == 1 for number in self.calls.values())
        room = len(self.cached) == len(self.order) and live * samples <= WHOLE_BYTES
        self.whole = once and room and not self._unclear

    def each(self, estimate: Estimate) -> None:
        """Call ``estimate(layer, parts)`` for each layer in order: an entry a group, for the fit and the hold-out.

        The hold-out is missing where there are too few batches, or none was asked for.
        """
        if self.whole and self.order:
            self._at_once(estimate)
            return
        for layer in self.order:
            estimate(layer, self._streamed(layer))

    def _at_once(self, estimate: Estimate) -> None:
        def take(layer: str, value: Tensor) -> None:
            targets = self.cached.pop(layer)
            equations = _Equations(self, layer)
            for number, some in enumerate(value.split([len(target) for target in targets])):
                equations.add(number, some, targets[number])
            estimate(layer, equations.parts())

        everything = self.given.ds.batch(self.given.at)
        visit(self.net, [everything], dict.fromkeys(self.order, 1), take, side="input")

    def _streamed(self, layer: str) -> list[list[CrossGramResult]]:
        equations = _Equations(self, layer)
        targets = iter(self.cached.pop(layer)) if layer in self.cached else self._targets(layer)
        number = -1

        def counted() -> Iterator[Batch]:
            nonlocal number
            for batch in self.given.batches():
                number += 1
                yield batch

        def take(name: str, value: Tensor) -> None:
            equations.add(number, value, next(targets))

        visit(self.net, counted(), {layer: self.calls[layer]}, take, side="input")
        return equations.parts()

    def _remember(self, sizes: Mapping[str, int]) -> dict[str, list[Tensor]]:
        """Targets of as many layers as there is room for, from one pass of the uncut network; an entry a call."""
        cached: dict[str, list[Tensor]] = {}
        room = CACHE_BYTES
        for layer in self.order:
            if sizes[layer] <= room:
                cached[layer] = []
                room -= sizes[layer]
        if cached:
            calls = {layer: self.calls[layer] for layer in cached}
            places = Places(self.positions, self.given.seed, self._drawn)
            self._pass(self.given.batches(), calls, places, lambda layer, target: cached[layer].append(target))
        return cached

    def _targets(self, layer: str) -> Iterator[Tensor]:
        """The targets of one layer, call after call, without keeping them."""
        places = Places(self.positions, self.given.seed, self._drawn)
        for batch in self.given.batches():
            found: list[Tensor] = []
            self._pass([batch], {layer: self.calls[layer]}, places, lambda _, target, to=found: to.append(target))  # type: ignore[misc]
            yield from found

    def _pass(
        self, batches: Iterable[Batch], calls: Mapping[str, int], places: Places, keep: Callable[[str, Tensor], None]
    ) -> None:
        def take(layer: str, value: Tensor) -> None:
            flat = value.index_select(1, self.kept[layer]).reshape(len(value), len(self.kept[layer]), -1)
            at = places.next(layer, len(value), flat.shape[2], flat.device)
            if at is not None:
                flat = flat.gather(2, at[:, None].expand(-1, flat.shape[1], -1))
            keep(layer, flat.transpose(1, 2))

        self._unclear |= visit(self.given.original, batches, calls, take, device=self.device)


class _Equations:
    """The normal equations of one layer while they are summed."""

    def __init__(self, pairs: Pairs, layer: str) -> None:
        module = pairs.net.get_submodule(layer)
        self.layer, self.apart = layer, pairs.apart
        self.window = Window.of(module)
        self.sums = [NormalEquations(int(getattr(module, "groups", 1))) for _ in range(2)]
        self.places = Places(pairs.positions, pairs.given.seed, pairs._drawn)

    def add(self, batch: int, value: Tensor, target: Tensor) -> None:
        """Take in what the layer read (n, inputs, ...), and its targets (n, positions, outputs)."""
        if not bool(value.sum().isfinite()) or not bool(target.sum().isfinite()):
            raise InputError(
                f"layer {self.layer!r} reads or gives NaN or infinite values; check the weights and the data"
            )
        held = self.apart and batch % _HELD_OUT == _HELD_OUT - 1
        sides = _sides(value, self.window)
        at = self.places.next("", len(value), math.prod(sides), value.device)
        row = value[0].numel() * (math.prod(self.window.kernel) if at is None else 1)
        step = max(1, _PATCH_VALUES // max(1, row))
        for start in range(0, len(value), step):
            some = slice(start, start + step)
            if at is None:
                rows = patches(value[some], self.window).flatten(0, 1)
            else:
                rows = gathered(value[some], self.window, at[some], sides).flatten(1)
            self.sums[int(held)].add(rows, target[some].flatten(0, 1))

    def parts(self) -> list[list[CrossGramResult]]:
        """The sums of the fit, and of the hold-out if there is one."""
        return [one.results() for one in self.sums if one.count]


class Places:
    """Which positions are read, the same in both networks: they follow from the seed and the sample's number.

    ``drawn`` shares what was drawn between several of these.

    >>> places = Places(3, seed=0)
    >>> places.next("conv", 2, 100, torch.device("cpu")).shape
    torch.Size([2, 3])
    """

    def __init__(self, wanted: int | None, seed: int, drawn: dict[tuple[int, int, int], Tensor] | None = None) -> None:
        self.wanted, self.seed = wanted, seed
        self._seen: dict[str, int] = {}
        self._drawn = {} if drawn is None else drawn

    def next(self, layer: str, samples: int, positions: int, device: torch.device) -> Tensor | None:
        """(samples, wanted) positions of the next samples that pass the layer; None for all positions."""
        first = self._seen.get(layer, 0)
        self._seen[layer] = first + samples
        if self.wanted is None or self.wanted >= positions:
            return None
        key = (first, samples, positions)
        if key not in self._drawn:
            index = torch.arange(first, first + samples, device=device)
            self._drawn[key] = picked_positions(index, positions, self.wanted, self.seed)
        return self._drawn[key]


def _known(layers: Sequence[str], nets: Sequence[nn.Module], batch: Batch) -> list[str]:
    """The layers whose kernels can be estimated; of the others a warning says why not."""
    modules = {layer: nets[0].get_submodule(layer) for layer in layers}
    kinds = [layer for layer, module in modules.items() if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d)]
    odd = {layer for net in nets for layer in unfaithful(net, [batch], kinds)}
    for layer, module in modules.items():
        kind = type(module).__name__
        if layer in odd:
            said = f"this {kind} gives something else than its weights make of what it reads"
            log.warning("%s stays as it was cut: %s", layer, said)
        elif layer not in kinds:
            log.warning("%s stays as it was cut: kernels of %s cannot be estimated", layer, kind)
    return [layer for layer in kinds if layer not in odd]


def _sizes(
    net: nn.Module, batch: Batch, wanted: Sequence[str], positions: int | None
) -> tuple[dict[str, int], dict[str, int], int, set[str]]:
    """For one batch: calls of each wanted layer, in order; bytes of its targets; bytes of all activations.

    And the layers of which :func:`visit` finds the samples unclear.
    """
    calls: dict[str, int] = {}
    sizes: dict[str, int] = {}
    live = 0

    def weigh(module: nn.Module, args: object, output: object) -> None:
        nonlocal live
        live += sum(one.numel() * one.element_size() for one in tensors(output))

    def note(layer: str, value: Tensor) -> None:
        calls[layer] = calls.get(layer, 0) + 1
        places = value[0, 0].numel()
        rows = len(value) * (places if positions is None else min(places, positions))
        sizes[layer] = sizes.get(layer, 0) + rows * value.shape[1] * 4

    if not wanted:
        return calls, sizes, live, set()
    with ExitStack() as stack:
        for module in net.modules():
            if not any(module.children()):
                stack.callback(module.register_forward_hook(weigh).remove)
        unclear = visit(net, [batch], dict.fromkeys(wanted), note)
    return calls, sizes, live, unclear


def _sides(value: Tensor, window: Window) -> tuple[int, ...]:
    """The sides of the output for an input (n, inputs, ...)."""
    if not window.kernel:
        return tuple(value.shape[2:])
    sides = []
    for axis, kernel in enumerate(window.kernel):
        padded = value.shape[2 + axis] + sum(window.padding[axis])
        sides.append((padded - window.dilation[axis] * (kernel - 1) - 1) // window.stride[axis] + 1)
    return tuple(sides)
