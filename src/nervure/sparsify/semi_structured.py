"""Semi-structured sparsity: two of every four edges in a row are zero, and GPUs since Ampere skip them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nervure.errors import InputError
from nervure.nets.structure.check import difference, outputs
from nervure.nets.structure.copying import copied
from nervure.sparsify.masked import bake, masks_of

__all__ = ["available", "follows", "semi_structured", "suited"]

# Rows and columns of a weight come in blocks of these sizes, in the library that PyTorch takes by default.
_BLOCKS = {torch.float16: (16, 16), torch.bfloat16: (16, 16)}
# Half precision has 11 bits, bfloat16 8, and sums are taken in another order.
_SAME = {torch.float16: 5e-3, torch.bfloat16: 4e-2}


def follows(weight: Tensor, kept: int = 2, of: int = 4) -> bool:
    """Whether at most ``kept`` of each ``of`` neighbouring inputs of every output have an edge.

    Parameters
    ----------
    weight : tensor
        (out, in, ...); a kernel's places count as inputs.
    kept, of : int
        The pattern N:M, as N and M.

    Examples
    --------
    >>> follows(torch.tensor([[1.0, 0, 0, 2, 0, 3, 4, 0]])), follows(torch.tensor([[1.0, 2, 3, 0]]))
    (True, False)
    """
    rows = weight.detach().flatten(1)
    if rows.shape[1] % of:
        return False
    return bool(((rows != 0).view(len(rows), -1, of).sum(2) <= kept).all())


def suited(net: nn.Module, dtype: torch.dtype = torch.float16) -> dict[str, str]:
    """Every linear layer, and why it cannot be computed as 2:4; an empty reason if it can.

    >>> net = nn.Sequential(nn.Linear(16, 32), nn.Linear(32, 10)).requires_grad_(False)
    >>> net[0].weight.view(32, 4, 4)[..., :2] = 0
    >>> suited(net)
    {'0': '', '1': 'its shape 10x32 is no multiple of 16x16'}
    """
    if dtype not in _BLOCKS:
        raise InputError(f"2:4 kernels compute in float16 and bfloat16, not in {str(dtype).removeprefix('torch.')}")
    plain = bake(net) if masks_of(net) else net
    return {name: _why(one, dtype) for name, one in plain.named_modules() if isinstance(one, nn.Linear)}


def available() -> str:
    """Why this machine cannot compute 2:4 layers; empty if it can.

    >>> isinstance(available(), str)
    True
    """
    if not torch.cuda.is_available():
        return "there is no GPU that PyTorch can use"
    if torch.cuda.get_device_capability() < (8, 0):
        return f"{torch.cuda.get_device_name()} is older than Ampere (compute capability 8.0)"
    if not torch.backends.cusparselt.is_available():
        return "this build of PyTorch comes without cuSPARSELt"
    return ""


def semi_structured(
    net: nn.Module, example: Tensor | Sequence[Tensor], *, dtype: torch.dtype = torch.float16
) -> nn.Module:
    """A copy on the GPU, in half precision, whose linear layers that follow 2:4 are computed by its sparse kernels.

    Parameters
    ----------
    net : Module
        With zeros in the pattern, or masked by one (``pattern=(2, 4)``); not changed.
    example : tensor or sequence of tensors
        Samples (n, ...) on which it must give the same as the dense network in that precision.
    dtype : torch.dtype
        ``float16`` or ``bfloat16``.

    Examples
    --------
    >>> suited(nn.Sequential(nn.Linear(16, 16)))["0"]
    'more than two of four neighbouring edges are not zero'
    """
    fits = suited(net, dtype)
    if why := available():
        raise InputError(f"2:4 kernels cannot run here: {why}; keep the network dense, or take it to such a machine")
    chosen = [name for name, reason in fits.items() if not reason]
    if not chosen:
        first = next(iter(fits.items()), None)
        reason = "it has no linear layer" if first is None else f"{first[0]!r}: {first[1]}"
        raise InputError(f"no layer of {type(net).__name__} follows 2:4; {reason}")
    from torch.sparse import to_sparse_semi_structured

    dense = copied(bake(net) if masks_of(net) else net).to("cuda", dtype).eval().requires_grad_(False)
    fast = copied(dense)
    for name in chosen:
        layer = fast.get_submodule(name)
        weight = to_sparse_semi_structured(layer.get_parameter("weight").detach().contiguous())
        layer.weight = nn.Parameter(weight, requires_grad=False)
    inputs = [
        one.to("cuda", dtype) if one.is_floating_point() else one.to("cuda")
        for one in ([example] if isinstance(example, Tensor) else example)
    ]
    gap = difference(outputs(dense, inputs), outputs(fast, inputs))
    if not gap <= _SAME[dtype]:
        raise InputError(f"computed as 2:4 the network gives another result ({gap:.1e}); keep it dense")
    vars(fast).pop("nervure_origin", None)
    return fast


def _why(layer: nn.Linear, dtype: torch.dtype) -> str:
    if type(layer) is not nn.Linear:
        return f"{type(layer).__name__} is no plain linear layer"
    rows, columns = _BLOCKS[dtype]
    out, given = layer.weight.shape
    if out % rows or given % columns:
        return f"its shape {out}x{given} is no multiple of {rows}x{columns}"
    return "" if follows(layer.weight) else "more than two of four neighbouring edges are not zero"
