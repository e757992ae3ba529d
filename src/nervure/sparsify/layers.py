"""Which layers have edges to judge: linear layers and convolutions that hold their weight themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from nervure.errors import InputError
from nervure.judge import Layer, layers_of
from nervure.observe.borrowed import borrowed
from nervure.registry import nearest

__all__ = ["by_call", "called", "checked", "others", "prunable", "weight_of"]


def prunable(net: nn.Module, layers: Sequence[str] | None = None, exclude: Sequence[str] = ()) -> dict[str, nn.Module]:
    """Layers by name, in the network's own order; a weight that several layers share is the first one's.

    Parameters
    ----------
    net : Module
        Any network.
    layers : sequence of str, optional
        Only these layers, or all those inside these modules.
    exclude : sequence of str
        Layers, or modules with all layers inside them, that keep every edge.

    Examples
    --------
    >>> net = nn.Sequential(nn.Sequential(nn.Conv2d(1, 2, 3)), nn.Flatten(), nn.Linear(2, 2))
    >>> list(prunable(net)), list(prunable(net, exclude=["0"]))
    (['0.0', '2'], ['2'])
    """
    known = dict(net.named_modules())
    for name in (*(layers or ()), *exclude):
        if name not in known:
            raise InputError(f"unknown layer {name!r}; {nearest(name, tuple(filter(None, known)))}")
    found: dict[str, nn.Module] = {}
    seen: set[int] = set()
    for layer in layers_of(net):
        wanted = layers is None or any(_inside(layer.name, one) for one in layers)
        if not wanted or any(_inside(layer.name, one) for one in exclude):
            continue
        weight = layer.module._parameters.get("weight")
        if weight is None:
            raise InputError(
                f"layer {layer.name!r} computes its weight from others (a mask, a weight norm); bake it, or exclude "
                "the layer"
            )
        if id(weight) not in seen:
            seen.add(id(weight))
            found[layer.name] = layer.module
    if not found:
        raise InputError(f"{type(net).__name__} has no linear layer or convolution whose edges could be judged")
    return found


def checked(modules: Mapping[str, nn.Module]) -> tuple[Layer, ...]:
    """Layers as criteria judge them; a weight with NaN or infinity is refused.

    >>> [one.units for one in checked({"fc": nn.Linear(2, 3)})]
    [3]
    """
    for name, module in modules.items():
        weight = weight_of(module).detach()
        # A sum is finite only if every part is, and costs a fraction of a look at each.
        if not bool(weight.sum().isfinite()) and not bool(weight.isfinite().all()):
            raise InputError(f"layer {name!r} has weights that are NaN or infinite; train it anew, or exclude it")
    return tuple(Layer(name, module, len(weight_of(module))) for name, module in modules.items())


def weight_of(module: nn.Module) -> Tensor:
    """The weight that a layer uses.

    >>> weight_of(nn.Linear(2, 3)).shape
    torch.Size([3, 2])
    """
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight


def others(net: nn.Module, layers: Sequence[str] | None = None, exclude: Sequence[str] = ()) -> list[str]:
    """Modules that hold weights and are neither linear layers nor convolutions: no criterion judges their edges.

    >>> others(nn.Sequential(nn.Linear(2, 2), nn.LSTM(2, 2), nn.LayerNorm(2)))
    ['1']
    """
    judged = {layer.name for layer in layers_of(net)}
    return [
        name
        for name, module in net.named_modules()
        if name not in judged
        and any("weight" in own and weight.ndim > 1 for own, weight in module.named_parameters(recurse=False))
        and (layers is None or any(_inside(name, one) for one in layers))
        and not any(_inside(name, one) for one in exclude)
    ]


def called(net: nn.Module, example: Tensor, names: Sequence[str]) -> list[str]:
    """Those of ``names`` that the network calls, in the order in which it first does.

    >>> net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    >>> called(net, torch.zeros(1, 2), ["1", "0"])
    ['0', '1']
    """
    found: dict[str, None] = {}
    handles = [
        net.get_submodule(name).register_forward_pre_hook(lambda *_, name=name: found.setdefault(name))
        for name in names
    ]
    try:
        with borrowed(net) as device, torch.inference_mode():
            net(example.to(device))
    finally:
        for handle in handles:
            handle.remove()
    return [*found]


def by_call(net: nn.Module, example: Tensor, names: Sequence[str]) -> list[str]:
    """``names`` in the order in which the network first calls them; one that it never calls keeps its place at the end.

    >>> net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    >>> by_call(net, torch.zeros(1, 2), ["1", "0"])
    ['0', '1']
    """
    found = called(net, example, names)
    return [*found, *(name for name in names if name not in found)]


def _inside(layer: str, module: str) -> bool:
    return layer == module or module == "" or layer.startswith(f"{module}.")
