"""Which outputs a cut layer kept, and which layers lost inputs: read off the two networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from nervure.errors import InputError

__all__ = ["check_pair", "consumers", "kept_outputs", "matched_rows", "other_consumers"]


def _weighted(net: nn.Module) -> dict[str, nn.Module]:
    found = {name: module for name, module in net.named_modules() if isinstance(module, nn.Linear | _ConvNd)}
    return {name: module for name, module in found.items() if not isinstance(module, _ConvTransposeNd)}


def _weight(net: nn.Module, layer: str) -> Tensor:
    weight: Tensor = net.get_submodule(layer).weight  # type: ignore[assignment]
    return weight


def check_pair(small: nn.Module, original: nn.Module) -> None:
    """Refuse two networks of which one cannot have been cut from the other.

    >>> check_pair(nn.Sequential(nn.Linear(3, 2)), nn.Sequential(nn.Linear(3, 4)))
    """
    theirs = _weighted(original)
    for name in _weighted(small):
        if name not in theirs:
            raise InputError(f"the original network has no layer {name!r}; give the network that was cut")
        mine, whole = tuple(_weight(small, name).shape), tuple(_weight(original, name).shape)
        if len(mine) != len(whole) or any(a > b for a, b in zip(mine, whole, strict=True)):
            raise InputError(
                f"layer {name!r} is {mine} in the cut network and {whole} in the original; "
                "give the two in the other order, or the network that was cut"
            )


def consumers(small: nn.Module, original: nn.Module) -> tuple[str, ...]:
    """Linear and convolution layers of which each output reads fewer inputs than it did.

    A depthwise convolution is none of them: its outputs go with their only inputs.

    >>> consumers(nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1)), nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1)))
    ('1',)
    """
    names = _weighted(small)
    return tuple(name for name in names if _weight(small, name).shape[1] < _weight(original, name).shape[1])


def other_consumers(small: nn.Module, original: nn.Module) -> tuple[str, ...]:
    """Recurrent layers and transposed convolutions that read fewer inputs than they did.

    >>> other_consumers(nn.Sequential(nn.LSTM(2, 3)), nn.Sequential(nn.LSTM(4, 3)))
    ('0',)
    """
    whole = dict(original.named_modules())
    names = [name for name, module in small.named_modules() if isinstance(module, nn.RNNBase | _ConvTransposeNd)]
    return tuple(name for name in names if name in whole and _inputs(small, name) < _inputs(original, name))


def _inputs(net: nn.Module, layer: str) -> int:
    module = net.get_submodule(layer)
    return int(module.input_size if isinstance(module, nn.RNNBase) else module.in_channels)  # type: ignore[arg-type]


def kept_outputs(small: nn.Module, original: nn.Module, layer: str, kept: Mapping[str, Sequence[int]]) -> Tensor:
    """(outputs of the cut layer,) int64: which of the uncut layer's outputs they are.

    >>> whole = nn.Sequential(nn.Linear(3, 4))
    >>> part = nn.Sequential(nn.Linear(3, 2))
    >>> _ = part[0].weight.data.copy_(whole[0].weight.data[[0, 3]])
    >>> kept_outputs(part, whole, "0", {})
    tensor([0, 3])
    """
    mine, whole = _weight(small, layer), _weight(original, layer)
    if len(mine) == len(whole):
        return torch.arange(len(mine))
    at = torch.as_tensor(list(kept[layer]), dtype=torch.int64) if layer in kept else matched_rows(mine, whole)
    if at is None:
        raise InputError(
            f"layer {layer!r}: its {len(mine)} outputs are not found among the original's {len(whole)} by their "
            "weights; give kept=plan, or kept={layer: indices}"
        )
    if len(at) != len(mine) or bool((at < 0).any()) or bool((at >= len(whole)).any()):
        raise InputError(
            f"layer {layer!r}: {len(at)} outputs are said to be kept, it has {len(mine)} of {len(whole)}; "
            "give the plan that made this network"
        )
    return at


def matched_rows(part: Tensor, whole: Tensor) -> Tensor | None:
    """Rows of ``whole`` (outputs, ...) that ``part`` (kept outputs, ...) was cut from, ascending; None if unclear.

    A value that occurs once in ``whole`` says from which row it comes, whichever columns were lost.

    >>> matched_rows(torch.tensor([[2.0], [6.0]]), torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    tensor([0, 2])
    """
    mine, all_of = (one.detach().flatten(1).cpu().to(torch.float64).numpy() for one in (part, whole))
    values, first, count = np.unique(all_of, return_index=True, return_counts=True)
    values, owner = values[count == 1], first[count == 1] // all_of.shape[1]
    if not len(values):
        return None
    place = np.searchsorted(values, mine).clip(max=len(values) - 1)
    known = values[place] == mine
    rows = np.where(known, owner[place], -1)
    found = rows.max(axis=1)
    agree = ((rows == found[:, None]) | ~known).all()
    if not agree or (found < 0).any() or (np.diff(found) <= 0).any():
        return None
    return torch.from_numpy(found.astype(np.int64))
