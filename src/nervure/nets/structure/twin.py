"""The copy of a network on which dependencies are followed: watched, fed through visible inputs, parts made opaque."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from nervure.nets.structure.copying import copied

__all__ = ["OPAQUE", "Call", "Fed", "Seen", "Source", "lighten", "opaque", "shadow", "tensors", "watched"]

OPAQUE = (nn.RNNBase, nn.MultiheadAttention)
"""Modules that count as one operation, whatever they do inside."""


@dataclass(frozen=True, eq=False)
class Seen:
    """A tensor that passed: a number of its own, and its shape."""

    mark: int
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a module without further modules inside: the tensors it read and gave, on the traced copy."""

    module: str
    given: Seen
    gave: Seen


def tensors(value: object) -> list[Tensor]:
    """Every tensor in nested tuples, lists and mappings.

    >>> len(tensors({"a": torch.ones(1), "b": (torch.ones(1), None)}))
    2
    """
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        return tensors(list(value.values()))
    if isinstance(value, tuple | list):
        return [tensor for one in value for tensor in tensors(one)]
    return []


@contextlib.contextmanager
def watched(net: nn.Module, running: list[str], calls: list[Call], flattened: list[object]) -> Iterator[None]:
    """Note which module runs, each call of a module that holds no other, and what ``nn.Flatten(1)`` gave."""
    hooks = []
    # Held until the end, so that no two tensors get one number.
    held: dict[int, Tensor] = {}

    def seen(tensor: Tensor) -> Seen:
        held[id(tensor)] = tensor
        return Seen(id(tensor), tuple(tensor.shape))

    for name, module in net.named_modules():
        leaf = isinstance(module, OPAQUE) or not any(module.children())
        hooks.append(module.register_forward_pre_hook(lambda m, a, name=name: running.append(name)))

        def after(m: nn.Module, given: Any, named: Any, gave: Any, name: str = name, leaf: bool = leaf) -> None:
            running.pop()
            one, two = tensors((given, named)), tensors(gave)
            if leaf and one and two:
                calls.append(Call(name, seen(one[0]), seen(two[0])))
                if type(m) is nn.Flatten and (m.start_dim, m.end_dim) == (1, -1):
                    flattened.append(two[0].grad_fn)

        hooks.append(module.register_forward_hook(after, with_kwargs=True))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def shadow(net: nn.Module) -> nn.Module:
    """A copy to trace and try things on, which shares the memory of the weights; give it other weights, change none.

    >>> net = nn.Linear(2, 2)
    >>> shadow(net).weight.data_ptr() == net.weight.data_ptr()
    True
    """
    return copied(net, lambda one: nn.Parameter(one.detach(), requires_grad=one.is_floating_point())).eval()


def lighten(net: nn.Module) -> nn.Module:
    """For counting: let norms and activations, which cost nothing and keep shapes, do nothing; ``net`` is changed.

    >>> lighten(nn.BatchNorm1d(2))(torch.full((1, 2), 3.0))
    tensor([[3., 3.]])
    """
    for module in net.modules():
        if type(module) in _SHAPELESS:
            object.__setattr__(module, "forward", _same)
    return net


def _same(x: Tensor) -> Tensor:
    return x


_SHAPELESS = (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh,
    nn.Sigmoid, nn.Hardswish,
)  # fmt: skip


class Source(nn.Module):
    """The network's input as a module of its own, so that what is added to it or joined with it is seen."""

    width = 0

    def forward(self, x: Tensor) -> Tensor:
        """The same values, as the result of an operation that can be seen."""
        self.width = int(x.shape[1]) if x.ndim > 1 else 0
        return x.clone().requires_grad_() * 1 if x.is_floating_point() else x


class Fed(nn.Module):
    """A network behind its sources."""

    def __init__(self, net: nn.Module, inputs: int) -> None:
        super().__init__()
        self.sources = nn.ModuleList(Source() for _ in range(inputs))
        self.net = net

    def forward(self, given: Sequence[Tensor]) -> object:
        """The network's output."""
        return self.net(*(source(one) for source, one in zip(self.sources, given, strict=True)))


class _Through(torch.autograd.Function):
    """A tensor of any shape that depends on others in one step, with no further operation between."""

    @staticmethod
    def forward(ctx: Any, shape: tuple[int, ...], *given: Tensor) -> Tensor:
        return given[0].new_zeros(shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise NotImplementedError


def _through(shape: tuple[int, ...], *given: Tensor) -> Tensor:
    out: Tensor = _Through.apply(shape, *given)  # type: ignore[no-untyped-call]
    return out


@contextlib.contextmanager
def opaque(net: nn.Module) -> Iterator[None]:
    """Give recurrent layers and attention one operation each, so that nothing inside is taken for a layer."""
    for module in net.modules():
        if isinstance(module, nn.RNNBase):
            object.__setattr__(module, "forward", _recurrent(module))
        elif isinstance(module, nn.MultiheadAttention):
            object.__setattr__(module, "forward", _attention(module))
        elif isinstance(module, nn.PReLU) and module.num_parameters == 1:
            # Its one slope is reshaped on the way, which hides how many units pass.
            object.__setattr__(module, "forward", nn.functional.leaky_relu)
    try:
        yield
    finally:
        for module in net.modules():
            vars(module).pop("forward", None)


def _recurrent(module: nn.RNNBase) -> Callable[..., Any]:
    directions = 2 if module.bidirectional else 1
    layers, width = module.num_layers * directions, module.proj_size or module.hidden_size

    def forward(input: Any, hx: Any = None) -> Any:
        packed = isinstance(input, PackedSequence)
        x = input.data if packed else input
        out = _through((*x.shape[:-1], width * directions), x)
        gives = input._replace(data=out) if packed else out
        batch: tuple[int, ...] = ()
        if packed or x.ndim == 3:
            batch = (int(input.batch_sizes[0]) if packed else x.shape[0 if module.batch_first else 1],)
        last = _through((layers, *batch, width), out)
        if not isinstance(module, nn.LSTM):
            return gives, last
        return gives, (last, _through((layers, *batch, module.hidden_size), out))

    return forward


def _attention(module: nn.MultiheadAttention) -> Callable[..., Any]:
    def forward(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        out = _through(query.shape, query, key, value)
        if not need_weights:
            return out, None
        batch = (query.shape[0 if module.batch_first else 1],) if query.ndim == 3 else ()
        heads = () if average_attn_weights else (module.num_heads,)
        time = -2 if module.batch_first or not batch else 0
        return out, _through((*batch, *heads, query.shape[time], key.shape[time]), out)

    return forward
