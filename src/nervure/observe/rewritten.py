"""Rewritten: a network run with other rules in place of its operations, its modules left alone.

Torch tells a function mode of every operation before it runs. A subclass says what stands for which kind of
operation, so any network that is made of known operations can be followed, whatever its modules.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from nervure.errors import InputError

__all__ = ["Call", "Rewritten", "name_of", "running"]

WEIGHTED = frozenset({"linear", "conv1d", "conv2d", "conv3d"})
NORMS = frozenset({"batch_norm", "group_norm", "layer_norm", "instance_norm", "rms_norm"})
SHAPED = frozenset({
    "T", "__getitem__", "cat", "chunk", "clone", "concat", "concatenate", "contiguous", "expand", "expand_as",
    "flatten", "float", "double", "flip", "hsplit", "index_select", "mT", "movedim", "narrow", "pad", "permute",
    "pixel_shuffle", "pixel_unshuffle", "reshape", "reshape_as", "roll", "select", "split", "squeeze", "stack",
    "swapaxes", "to", "transpose", "unbind", "unflatten", "unsqueeze", "view", "view_as",
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

    def run(self) -> Any:
        """The operation itself, on a copy where it would write in place."""
        args, kwargs = self.args, dict(self.kwargs)
        if kwargs.pop("inplace", False) or self.function.__name__ != self.name:
            args = (args[0].clone(), *args[1:])
        return self.function(*args, **kwargs)

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

    @property
    def layer(self) -> str | None:
        """The watched layer that is being called."""
        return next((name for name in reversed(self.called) if name in self.watched), None)

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if not any(one.requires_grad for one in _tensors((*args, *kwargs.values()))):
            return func(*args, **kwargs)
        plain = _plain(name_of(func))
        call = Call(func, plain, tuple(args), kwargs)
        own = self.own_rule(call)
        if own is not None:
            return own(call)
        kind = KINDS.get(plain)
        if kind is not None:
            return getattr(self, kind)(call)
        where = f" in module {self.called[-1]!r}" if self.called and self.called[-1] else ""
        unknown = f"{self.purpose} has no rule for the operation {plain!r}{where}; {self.remedy(plain)}"
        try:
            out = func(*args, **kwargs)
        except Exception as error:
            raise InputError(unknown) from error
        if any(one.requires_grad for one in _tensors((out,))) and plain not in ("requires_grad", "__set__"):
            raise InputError(unknown)
        return out

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


def _plain(name: str) -> str:
    """The name of an operation without the mark of its in-place form."""
    if name.startswith("__"):
        return name.replace("__i", "__", 1) if name in ("__iadd__", "__isub__", "__imul__") else name
    return name.rstrip("_")


def _tensors(values: Sequence[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from _tensors(value)


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
            after = module.register_forward_hook(lambda *_: _popped(mode), always_call=True)
            stack.callback(after.remove)
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


def _entered(mode: Rewritten, name: str) -> None:
    mode.called.append(name)
    mode.latest = name


def _popped(mode: Rewritten) -> None:
    mode.called.pop()
