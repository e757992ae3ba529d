"""What the input can reach: everything else in a network is a constant, and its value is known.

The network is run on inputs of NaN. A linear layer or convolution passes NaN on only along edges that are not zero;
every other operation spreads it by its own nature. So what stays a number depends on nothing that is fed in, through
norms, activations, sums and products alike, and the number is the constant.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from nervure.nets.seed import seeded
from nervure.nets.structure.silence import unit_axis
from nervure.nets.structure.twin import tensors
from nervure.observe.borrowed import borrowed

__all__ = ["Affine", "constants", "edges", "other_sizes"]

Affine = nn.Linear | _ConvNd


def edges(module: nn.Module) -> Tensor:
    """(out, in) bool: whether any edge leads from an input to an output; (gates, in) for a recurrent layer.

    >>> layer = nn.Conv2d(2, 2, 1, groups=2)
    >>> nn.init.zeros_(layer.weight[0]).shape
    torch.Size([1, 1, 1])
    >>> edges(layer)
    tensor([[False, False],
            [False,  True]])
    """
    if isinstance(module, nn.RNNBase):
        return torch.cat([one.detach() != 0 for name, one in module.named_parameters() if "weight_ih_l0" in name])
    assert isinstance(module, Affine)
    there = module.weight.detach() != 0
    if isinstance(module, nn.Linear):
        return there
    blocks = there.flatten(2).any(2).chunk(module.groups)
    if module.transposed:
        blocks = tuple(block.T for block in blocks)
    return blocks[0] if len(blocks) == 1 else torch.block_diag(*blocks)


def constants(net: nn.Module, inputs: Sequence[Tensor], layers: Collection[str]) -> dict[str, Tensor]:
    """What of the inputs of ``layers`` is the same number whatever the network reads.

    Parameters
    ----------
    net : Module
        Run in evaluation mode; not changed.
    inputs : sequence of tensors
        Samples (n, ...) that it reads.
    layers : collection of str
        Linear layers, convolutions and recurrent layers.

    Returns
    -------
    dict of str to tensor
        For each layer that was called (in,) the constant at each place, NaN where there is none: it must be the
        same over samples, positions, calls, and sizes of maps.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)).requires_grad_(False)
    >>> net[0].weight[1], net[0].bias[1] = 0, 3
    >>> constants(net, [torch.randn(3, 2)], ["2"])["2"]
    tensor([nan, 3.])
    """
    if not all(one.is_floating_point() for one in inputs):
        return {}
    low: dict[str, Tensor] = {}
    high: dict[str, Tensor] = {}
    for number, sized in enumerate([list(inputs), *other_sizes(inputs)]):
        nothing = [torch.full_like(one[:2], float("nan")) for one in sized]
        try:
            _run(net, nothing, layers, low, high, passing=True)
        except Exception:  # a stranger's forward may refuse NaN, or a size that is not its own
            if not number:
                return {}
    found = {name: torch.where(low[name] == high[name], low[name], float("nan")) for name in low}
    low, high = {}, {}
    _run(net, inputs, layers, low, high, passing=False)
    for name, value in found.items():
        # A forward that replaces NaN would hide what depends on the input; here it would show.
        agree = torch.isclose(low[name], value) & torch.isclose(high[name], value)
        found[name] = torch.where(agree, value, float("nan"))
    return found


def other_sizes(inputs: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """The same inputs with more or fewer positions, which a network may take or refuse.

    >>> [one[0].shape for one in other_sizes([torch.zeros(1, 3, 8, 8)])]
    [torch.Size([1, 3, 16, 16]), torch.Size([1, 3, 9, 9])]
    """
    if len(inputs) != 1 or inputs[0].ndim < 3:
        return
    x = inputs[0]
    axes = [tuple(range(2, x.ndim))] + ([(1,)] if x.ndim == 3 else [])
    for along in axes:
        for change in (_scaled, _one_more):
            resized = x
            for axis in along:
                size = change(x.shape[axis])
                resized = resized.index_select(axis, torch.arange(size, device=x.device) % x.shape[axis])
            yield [resized]


def _scaled(size: int, large: int = 64) -> int:
    return 2 * size if size < large else size // 2


def _one_more(size: int) -> int:
    return size + 1


def _run(
    net: nn.Module,
    inputs: Sequence[Tensor],
    layers: Collection[str],
    low: dict[str, Tensor],
    high: dict[str, Tensor],
    *,
    passing: bool,
) -> None:
    """Run once; note the range of what each of ``layers`` reads at each place, over all calls."""
    handles = []

    def note(name: str, x: Tensor, axis: int) -> None:
        over = [one for one in range(x.ndim) if one != x.ndim + axis]
        one, two = (x.amin(over), x.amax(over)) if over else (x, x)
        low[name] = torch.minimum(low[name], one) if name in low else one
        high[name] = torch.maximum(high[name], two) if name in high else two

    def hook(name: str) -> Any:
        def after(module: nn.Module, args: Any, kwargs: Any, out: Any) -> Any:
            x = tensors([args, kwargs])[0]
            if name in layers:
                note(name, x, unit_axis(module))
            return _passed(module, args, kwargs, out) if passing and isinstance(module, Affine) else None

        return after

    for name, module in net.named_modules():
        if name in layers or isinstance(module, Affine):
            handles.append(module.register_forward_hook(hook(name), with_kwargs=True))
    try:
        with borrowed(net) as device, torch.inference_mode(), seeded(0):
            net(*(one.to(device) for one in inputs))
    finally:
        for handle in handles:
            handle.remove()


def _passed(module: Affine, args: Any, kwargs: Any, out: Tensor) -> Tensor:
    """What the layer gives where no edge leads from a NaN that it reads, and NaN elsewhere."""
    x = args[0] if args else next(iter(kwargs.values()))
    axis = unit_axis(module)
    reached = x.isnan().any(0) if x.ndim == 1 else x.isnan().movedim(axis, 0).flatten(1).any(1)
    clean = torch.where(x.isnan(), 0.0, x)
    given = module.forward(clean, *args[1:]) if args else module.forward(**{**kwargs, next(iter(kwargs)): clean})
    lost = (edges(module) & reached).any(1)
    return torch.where(lost.view(-1, *[1] * (-1 - axis)), float("nan"), given)
