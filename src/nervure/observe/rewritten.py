"""Rewritten: a network run with other rules in place of its operations, its modules left alone.

Torch tells a function mode of every operation before it runs. A subclass says what stands for which kind of
operation, so any network that is made of known operations can be followed, whatever its modules.

Nothing is written in place: what would be is a new value, and takes the place of the old one wherever that, or a view
of the same memory, is read from then on.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from nervure.errors import InputError

__all__ = ["Call", "Rewritten", "name_of", "running", "tensors_of"]

WEIGHTED = frozenset({"linear", "conv1d", "conv2d", "conv3d"})
NORMS = frozenset({"batch_norm", "group_norm", "layer_norm", "instance_norm", "rms_norm"})
SHAPED = frozenset({
    "T", "__getitem__", "__setitem__", "cat", "chunk", "clone", "concat", "concatenate", "contiguous", "expand",
    "expand_as", "flatten", "float", "double", "flip", "hsplit", "index_select", "mT", "movedim", "narrow", "pad",
    "permute", "pixel_shuffle", "pixel_unshuffle", "reshape", "reshape_as", "roll", "select", "split", "squeeze",
    "stack", "swapaxes", "to", "transpose", "unbind", "unflatten", "unsqueeze", "view", "view_as",
})  # fmt: skip
PASSED = frozenset({
    "alpha_dropout", "celu", "clamp", "dropout", "dropout1d", "dropout2d", "dropout3d", "elu", "gelu", "hardsigmoid",
    "hardswish", "hardtanh", "leaky_relu", "log_softmax", "logsigmoid", "mish", "prelu", "relu", "relu6", "selu",
    "sigmoid", "silu", "softmax", "softplus", "softsign", "tanh", "threshold",
})  # fmt: skip
PICKED = frozenset({
    "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d", "amax", "max", "max_pool1d", "max_pool2d",
    "max_pool3d", "maximum",
})  # fmt: skip
AVERAGED = frozenset({
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d",
    "interpolate", "mean", "sum", "upsample",
})  # fmt: skip
ADDED = frozenset({"__add__", "__radd__", "add"})
SUBTRACTED = frozenset({"__rsub__", "__sub__", "rsub", "sub", "subtract"})
SCALED = frozenset({"__mul__", "__rmul__", "__truediv__", "div", "divide", "mul", "multiply", "true_divide"})
KINDS = {
    **dict.fromkeys(WEIGHTED, "weighted"),
    **dict.fromkeys(NORMS, "norm"),
    **dict.fromkeys(SHAPED, "shaped"),
    **dict.fromkeys(PASSED, "passed"),
    **dict.fromkeys(PICKED, "picked"),
    **dict.fromkeys(AVERAGED, "averaged"),
    **dict.fromkeys(ADDED, "added"),
    **dict.fromkeys(SUBTRACTED, "subtracted"),
    **dict.fromkeys(SCALED, "scaled"),
}


@dataclass(frozen=True)
class Call:
    """One operation: its function, its name without the mark of in-place forms, and what it was given."""

    function: Callable[..., Any]
    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @property
    def writes(self) -> bool:
        """Whether the operation writes to its first argument."""
        name = name_of(self.function)
        return bool(self.kwargs.get("inplace", False)) or name == "__setitem__" or name != self.name

    def run(self) -> Any:
        """The operation itself, on a copy where it would write in place."""
        if not self.writes:
            return self.function(*self.args, **self.kwargs)
        copy = self.args[0].clone()
        out = self.function(copy, *self.args[1:], **{k: v for k, v in self.kwargs.items() if k != "inplace"})
        return copy if out is None else out

    def given(self, place: int, name: str, default: Any = None) -> Any:
        """An argument by place or by name."""
        return self.args[place] if place < len(self.args) else self.kwargs.get(name, default)


class Rewritten(TorchFunctionMode):
    """Runs what a subclass gives for each kind of operation; an unknown one on tracked values is an error.

    ``called`` are the names of the modules that are being called, from the outermost in; ``layer`` is the innermost
    of those that are watched.

    >>> from nervure.observe.absolute import Absolute
    >>> issubclass(Absolute, Rewritten)
    True
    """

    purpose = "this"

    def __init__(self) -> None:
        super().__init__()
        self.called: list[str] = []
        self.latest = ""
        self.watched: frozenset[str] = frozenset()
        self._written: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def layer(self) -> str | None:
        """The watched layer that is being called."""
        return next((name for name in reversed(self.called) if name in self.watched), None)

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        call = Call(func, _plain(name_of(func)), *self.current(_by_place(tuple(args), kwargs or {})))
        if not any(one.requires_grad for one in tensors_of((*call.args, *call.kwargs.values()))):
            return func(*call.args, **call.kwargs)
        return self.followed(call)

    def followed(self, call: Call) -> Any:
        """What stands for an operation on tracked values."""
        rule = self.own_rule(call) or (getattr(self, KINDS[call.name]) if call.name in KINDS else None)
        if rule is None:
            return self._unknown(call)
        out = rule(call)
        if rule != self.shaped and any(_base(out) is _base(one) for one in tensors_of(call.args)):
            out = out.clone()  # as the result of an operation, it is a value of its own
        return self._write(call.args[0], out) if call.writes else out

    def _unknown(self, call: Call) -> Any:
        """An operation without a rule: run as it is, where its result depends on no tracked value."""
        where = f" in module {self.called[-1]!r}" if self.called and self.called[-1] else ""
        unknown = f"{self.purpose} has no rule for the operation {call.name!r}{where}; {self.remedy(call.name)}"
        try:
            out = call.function(*call.args, **call.kwargs)
        except Exception as error:
            raise InputError(unknown) from error
        if any(one.requires_grad for one in tensors_of((out,))) and call.name not in ("requires_grad", "__set__"):
            raise InputError(unknown)
        return out

    def current(self, value: Any) -> Any:
        """``value``, or a structure that holds it, as what has been written in place since makes it."""
        if not self._written:
            return value
        with torch._C.DisableTorchFunction():
            return tree_map_only(Tensor, self._now, value)

    def _now(self, value: Tensor) -> Tensor:
        while id(value) in self._written:
            value = self._written[id(value)][1]
        base = value._base
        return value if base is None or id(base) not in self._written else _as_in(value, self._now(base))

    def _write(self, target: Tensor, value: Tensor) -> Tensor:
        """Let ``value`` stand for what ``target`` held; views of the same memory change with it."""
        place, memory = target, value
        if value.shape == target.shape and target._base is not None:
            place, memory = target._base, target._base.clone()
            value = _as_in(target, memory).copy_(value)
        elif value.shape == target.shape and value.stride() != target.stride():
            value = memory = torch.empty_like(target, dtype=value.dtype).copy_(value)
        self._written[id(place)] = place, memory
        return value

    def own_rule(self, call: Call) -> Callable[[Call], Any] | None:
        """A rule for an operation that comes before those by kind; none unless a subclass takes some."""
        return None

    def remedy(self, operation: str) -> str:
        """What to do about an operation without a rule."""
        return "use another criterion"

    @abstractmethod
    def weighted(self, call: Call) -> Any:
        """A linear map or convolution."""

    @abstractmethod
    def norm(self, call: Call) -> Any:
        """A normalisation."""

    @abstractmethod
    def passed(self, call: Call) -> Any:
        """An activation or dropout."""

    @abstractmethod
    def picked(self, call: Call) -> Any:
        """A maximum over positions, or of two."""

    @abstractmethod
    def averaged(self, call: Call) -> Any:
        """A mean or sum over positions."""

    @abstractmethod
    def added(self, call: Call) -> Any:
        """A sum of two."""

    @abstractmethod
    def subtracted(self, call: Call) -> Any:
        """A difference."""

    @abstractmethod
    def scaled(self, call: Call) -> Any:
        """A product or quotient."""

    def shaped(self, call: Call) -> Any:
        """Values moved, not changed."""
        return call.run()


def name_of(function: Callable[..., Any]) -> str:
    """The name of an operation as torch hands it over; of an attribute that is read, the attribute's.

    >>> import torch
    >>> name_of(torch.relu), name_of(torch.Tensor.T.__get__)
    ('relu', 'T')
    """
    name = str(getattr(function, "__name__", function))
    read = getattr(function, "__self__", None) if name == "__get__" else None
    return str(getattr(read, "__name__", name))


def tensors_of(values: Iterable[Any]) -> Iterator[Tensor]:
    """The tensors among ``values`` and in the lists and tuples there.

    >>> len(list(tensors_of((torch.ones(1), 2, [torch.ones(1)]))))
    2
    """
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from tensors_of(value)


def _plain(name: str) -> str:
    """The name of an operation without the mark of its in-place form."""
    if name.startswith("__"):
        return name.replace("__i", "__", 1) if name in ("__iadd__", "__isub__", "__imul__") else name
    return name.rstrip("_")


def _by_place(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What an operation was given, with its operands by place where they came by name."""
    further = dict(kwargs)
    if not args and "input" in further:
        args = (further.pop("input"),)
    if len(args) == 1 and "other" in further and "input" not in further:
        args = (*args, further.pop("other"))
    return args, further


def _base(value: Any) -> Any:
    """The tensor whose memory a view is of; any other value itself."""
    return value if getattr(value, "_base", None) is None else value._base


def _as_in(view: Tensor, memory: Tensor) -> Tensor:
    """The part of ``memory`` that ``view`` is of its own."""
    offset = view.storage_offset() - _base(view).storage_offset() + memory.storage_offset()
    return memory.as_strided(view.shape, view.stride(), offset)


@contextmanager
def running(net: nn.Module, mode: Rewritten, watched: Sequence[str]) -> Iterator[None]:
    """``net`` with operations replaced by those of ``mode``, which knows which watched layer is called.

    >>> import torch
    >>> from nervure.observe.absolute import Absolute
    >>> net = nn.Sequential(nn.Linear(2, 1))
    >>> mode = Absolute()
    >>> with running(net, mode, ["0"]):
    ...     _ = net(torch.ones(1, 2))
    >>> mode.called
    []
    """
    mode.watched = frozenset(watched)
    with ExitStack() as stack:
        for name, module in net.named_modules():
            before = module.register_forward_pre_hook(lambda *_, name=name: _entered(mode, name))
            stack.callback(before.remove)
            after = module.register_forward_hook(lambda *called: _left(mode, called[-1]), always_call=True)
            stack.callback(after.remove)
            if isinstance(module, nn.RNNBase):  # which refuses wider numbers than its weights before a rule sees them
                stack.callback(module.register_forward_pre_hook(_as_its_weights).remove)
        stack.enter_context(mode)
        try:
            yield
        except InputError:
            raise
        except Exception as error:  # such as a layer that takes no wider numbers than its weights
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(
                f"{mode.purpose} fails in or after module {mode.latest!r} ({reason}); use another criterion"
            ) from error


def _as_its_weights(module: nn.RNNBase, given: tuple[Any, ...]) -> tuple[Any, ...]:
    return (given[0].to(module.weight_ih_l0), *given[1:])


def _entered(mode: Rewritten, name: str) -> None:
    mode.called.append(name)
    mode.latest = name


def _left(mode: Rewritten, output: Any) -> Any:
    mode.called.pop()
    return mode.current(output)
