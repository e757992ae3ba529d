"""Linear layers and 1x1 convolutions that hold only their edges and compute by PyTorch's sparse kernels."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from nervure.errors import InputError

__all__ = ["SparseLayer", "SparseLinear", "SparsePointwise", "is_pointwise", "sparse_layer"]


class SparseLayer(nn.Module):
    """What both kinds share: edges by row (CSR), for evaluation alone; they get no gradients.

    Parameters
    ----------
    weight : tensor
        (out, in).
    bias : tensor, optional
        (out,).
    """

    rows: Tensor
    columns: Tensor
    values: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.shape = (int(weight.shape[0]), int(weight.shape[1]))
        with _quiet():
            edges = weight.detach().to_sparse_csr()
        # 32-bit places are read faster, and no layer has two thousand million edges.
        self.register_buffer("rows", edges.crow_indices().int())
        self.register_buffer("columns", edges.col_indices().int())
        self.register_buffer("values", edges.values().clone())
        shift = weight.new_zeros(self.shape[0]) if bias is None else bias.detach().clone()
        self.register_buffer("bias", shift)
        self._made: tuple[tuple[int, torch.dtype], Tensor] | None = None
        # Places that were read anew are checked anew: a wrong one would be read from foreign memory.
        nn.Module.register_load_state_dict_post_hook(self, _forget)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_made": None}

    def edges(self) -> Tensor:
        """(out, in) the weight as a sparse tensor over the layer's own memory; made and checked once."""
        key = (self.values.data_ptr(), self.values.dtype)
        if self._made is None or self._made[0] != key:
            with torch.inference_mode(False), _quiet():
                parts = self.rows, self.columns, self.values
                self._made = key, torch.sparse_csr_tensor(*parts, size=self.shape, check_invariants=True)
        return self._made[1]

    @property
    def weight(self) -> Tensor:
        """The dense weight, made anew each time: some networks read it rather than call the layer."""
        return self.edges().to_dense()

    def times(self, columns: Tensor) -> Tensor:
        """(in, n) to (out, n)."""
        return torch.addmm(self.bias.unsqueeze(1), self.edges(), columns)

    def extra_repr(self) -> str:
        """What printing shows."""
        return f"in={self.shape[1]}, out={self.shape[0]}, edges={len(self.values)}"


class SparseLinear(SparseLayer):
    """A linear layer by its edges.

    >>> layer = SparseLinear(torch.tensor([[0.0, 2.0], [0.0, 0.0]]), torch.tensor([1.0, 0.5]))
    >>> layer, layer(torch.tensor([[3.0, 4.0]])).tolist()
    (SparseLinear(in=2, out=2, edges=1), [[9.0, 0.5]])
    """

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        out = self.times(x.reshape(-1, self.shape[1]).T).T.contiguous()
        return out.view(*x.shape[:-1], self.shape[0])


class SparsePointwise(SparseLayer):
    """A 1x1 convolution by its edges.

    >>> layer = SparsePointwise(torch.tensor([[0.0, 2.0]]), None)
    >>> layer(torch.ones(1, 2, 1, 3)).tolist()
    [[[[2.0, 2.0, 2.0]]]]
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, stride: tuple[int, int] = (1, 1)) -> None:
        super().__init__(weight, bias)
        self.stride = stride

    @property
    def weight(self) -> Tensor:
        """The dense weight (out, in, 1, 1)."""
        return super().weight[..., None, None]

    def forward(self, x: Tensor) -> Tensor:
        """(n, in, height, width) to (n, out, height, width)."""
        x = x[..., :: self.stride[0], :: self.stride[1]]
        n, _, height, width = x.shape
        out = self.times(x.transpose(0, 1).reshape(self.shape[1], -1))
        return out.view(-1, n, height, width).transpose(0, 1).contiguous()


def _forget(module: nn.Module, keys: object) -> None:
    assert isinstance(module, SparseLayer)
    module._made = None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without PyTorch's remark that its sparse tensors are young."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def is_pointwise(module: nn.Module) -> bool:
    """Whether it is a plain 1x1 convolution without padding or groups.

    >>> is_pointwise(nn.Conv2d(4, 2, 1)), is_pointwise(nn.Conv2d(4, 2, 3))
    (True, False)
    """
    return (
        type(module) is nn.Conv2d
        and module.kernel_size == (1, 1)
        and module.groups == 1
        and module.padding in ((0, 0), "valid", "same")
    )


def sparse_layer(module: nn.Module) -> SparseLayer:
    """The sparse form of a linear layer or 1x1 convolution; any other is refused.

    >>> sparse_layer(nn.Conv2d(4, 2, 1))
    SparsePointwise(in=4, out=2, edges=8)
    """
    if type(module) is nn.Linear:
        return SparseLinear(module.weight, module.bias)
    if is_pointwise(module):
        assert isinstance(module, nn.Conv2d)
        return SparsePointwise(module.weight.flatten(1), module.bias, (module.stride[0], module.stride[1]))
    raise InputError(f"{type(module).__name__} has no sparse form; only linear layers and 1x1 convolutions have one")
