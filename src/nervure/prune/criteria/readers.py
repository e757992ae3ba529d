"""Which weights read a layer's units: the next layers, and where among their inputs the units lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.judge import Layer
from nervure.objectives.call import call
from nervure.observe.borrowed import borrowed
from nervure.observe.layout import examples_first, first_tensor, unit_axis
from nervure.observe.statistic import Site
from nervure.prune.criteria.seen import example_of

__all__ = ["Reader", "captured", "input_sums", "outgoing_sums", "readers_of", "required"]

Weighted = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d


@dataclass(frozen=True)
class Reader:
    """A layer that reads units: ``columns`` of its inputs from ``start`` on, ``spread`` for each unit."""

    name: str
    module: nn.Module
    start: int
    units: int
    spread: int = 1

    @property
    def columns(self) -> int:
        """How many inputs hold the units."""
        return self.units * self.spread


def _inputs(module: nn.Module) -> int | None:
    if isinstance(module, nn.Linear):
        return module.in_features
    if isinstance(module, nn.RNNBase):
        return module.input_size
    if isinstance(module, Weighted):
        inputs: int = module.in_channels  # type: ignore[assignment]
        return inputs
    return None


def input_sums(module: nn.Module) -> Tensor:
    """(inputs,) float64 sums of the magnitudes of the weights on each input, in any grouping.

    >>> conv = nn.Conv2d(4, 6, 3, groups=2)
    >>> bool(input_sums(conv).sum().isclose(conv.weight.double().abs().sum()))
    True
    """
    if isinstance(module, nn.RNNBase):
        first = [value for name, value in module.named_parameters() if name.startswith("weight_ih_l0")]
        return torch.stack([_magnitude(one, (0,)) for one in first]).sum(0)
    assert isinstance(module, Weighted)
    weight = module.weight.detach().flatten(2) if module.weight.ndim > 2 else module.weight.detach().unsqueeze(2)
    if isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        return _magnitude(weight, (1, 2))
    groups = getattr(module, "groups", 1)
    return _magnitude(weight.view(groups, len(weight) // groups, weight.shape[1], -1), (1, 3)).flatten()


def _magnitude(weight: Tensor, axes: tuple[int, ...]) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(weight.detach(), 1, dim=axes, dtype=torch.float64)
    return norm


def outgoing_sums(reader: Reader) -> Tensor:
    """(units,) float64 sums of the magnitudes of what a reader weighs each unit with (spec 0.4: flattening).

    >>> linear = nn.Linear(6, 5)
    >>> sums = outgoing_sums(Reader("fc", linear, start=2, units=2, spread=2))
    >>> bool(sums[0].isclose(linear.weight[:, 2:4].double().abs().sum()))
    True
    """
    return input_sums(reader.module)[reader.start : reader.start + reader.columns].view(reader.units, -1).sum(1)


def readers_of(net: nn.Module, batches: Iterable[Batch], layers: Sequence[Layer]) -> dict[str, tuple[Reader, ...]]:
    """The readers of each layer's units, by layer name; ``net`` is left as it was.

    A reader with further inputs, as after a concatenation, is asked what it reads: the units lie where its
    inputs are what was seen of them on an example.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    >>> layer = Layer("0", net[0], 3, consumers=("1",))
    >>> readers_of(net, [Batch(torch.ones(2, 2), None, torch.arange(2))], [layer])["0"][0].start
    0
    """
    known = {(one.name, name): _plain(one, net.get_submodule(name), name) for one in layers for name in one.consumers}
    searched = [(one, name) for one in layers for name in one.consumers if known[one.name, name] is None]
    sites = {site for layer, name in searched for site in (layer.seen, Site(name, "input"))}
    values = captured(net, example_of(batches), sites) if sites else {}
    for layer, name in searched:
        start, spread = _found(values[layer.seen], values[Site(name, "input")], layer, name)
        known[layer.name, name] = Reader(name, net.get_submodule(name), start, layer.units, spread)
    return {
        one.name: tuple(reader for name in one.consumers if (reader := known[one.name, name]) is not None)
        for one in layers
    }


def _plain(layer: Layer, module: nn.Module, name: str) -> Reader | None:
    """The reader, if it reads these units alone."""
    inputs = _inputs(module)
    if inputs is None:
        raise InputError(
            f"layer {layer.name!r} is read by {name!r}, of type {type(module).__name__}, whose weights on single "
            "inputs are not known; exclude it, or use another criterion"
        )
    for spread in (layer.spread, 1):
        if inputs == layer.units * spread:
            return Reader(name, module, 0, layer.units, spread)
    return None


def captured(net: nn.Module, batch: Batch, sites: Iterable[Site]) -> dict[Site, Tensor]:
    """What passes ``sites`` when ``net`` evaluates ``batch``, laid out as (n, units, ...).

    >>> net = nn.Sequential(nn.ReLU(), nn.Linear(1, 1))
    >>> batch = Batch(torch.tensor([[-2.0]]), None, torch.arange(1))
    >>> captured(net, batch, [Site("1", "input")])[Site("1", "input")]
    tensor([[0.]])
    """
    found: dict[Site, Tensor] = {}

    def keep(site: Site, module: nn.Module, value: Any) -> None:
        if site not in found:
            first = first_tensor(value, site.module)
            found[site] = examples_first(first, module, unit_axis(module), site.module).clone()

    def before(site: Site) -> Any:
        return lambda module, args, kwargs: keep(site, module, args[0] if args else kwargs)

    with ExitStack() as stack:
        device = stack.enter_context(borrowed(net))
        for site in sites:
            module = net.get_submodule(site.module)
            if site.side == "input":
                handle = module.register_forward_pre_hook(before(site), with_kwargs=True)
            else:
                handle = module.register_forward_hook(lambda module, _, out, site=site: keep(site, module, out))
            stack.callback(handle.remove)
        with torch.inference_mode():
            call(net, batch.to(device))
    for site in sites:
        if site not in found:
            raise InputError(f"layer {site.module!r} was never called; does the forward pass use it?")
    return found


def _found(seen: Tensor, given: Tensor, layer: Layer, reader: str) -> tuple[int, int]:
    """Where among the inputs ``given`` (n, inputs, ...) the units ``seen`` begin, and over how many each is spread."""
    flat = seen.flatten(1) if given.ndim == 2 else seen
    width = flat.shape[1]
    if flat.shape[2:] == given.shape[2:] and width % layer.units == 0:
        for start in range(given.shape[1] - width + 1):
            if torch.equal(given[:, start : start + width], flat):
                return start, width // layer.units
    raise InputError(
        f"layer {layer.name!r}: its {layer.units} units cannot be found among the {given.shape[1]} inputs of "
        f"{reader!r}; say where they are seen (Layer.reader), exclude it, or use another criterion"
    )


def required(readers: Mapping[str, tuple[Reader, ...]], layer: Layer, what: str) -> tuple[Reader, ...]:
    """The readers of ``layer``, or an error that says that ``what`` needs one.

    >>> required({}, Layer("fc", nn.Linear(1, 1), 1), "thinet")
    Traceback (most recent call last):
    nervure.errors.InputError: layer 'fc': thinet needs the layers that read its units, and none is known
    """
    if not readers.get(layer.name):
        raise InputError(f"layer {layer.name!r}: {what} needs the layers that read its units, and none is known")
    return readers[layer.name]
