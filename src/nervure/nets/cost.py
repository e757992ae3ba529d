"""What a network costs: parameters, operations and memory of one sample, counted exactly.

Operations are multiply-adds of convolutions, matrix products (attention's too) and recurrent layers;
norms, activations, pools, sums and embeddings count as free, as in every published figure that we
compare with (spec majority-voting-pruning, 0.5).
"""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from nervure import evidence
from nervure.errors import InputError
from nervure.nets.parts import choose
from nervure.nets.shadow import place_of, try_out
from nervure.observe.ready import refuse_closed

__all__ = ["Cost", "LayerCost", "count", "weights"]

Types = type[nn.Module] | tuple[type[nn.Module], ...]

_ATEN = torch.ops.aten
_SIZED_BY = {_ATEN.mv: 0, _ATEN.addmv: 1, _ATEN.dot: 0, _ATEN.vdot: 0}
"""Products that PyTorch's own counter leaves out: the argument with as many numbers as there are multiply-adds."""

_FREE = (
    "norm", "copy", "index", "scatter", "relu", "quantize", "polar", "complex", "bucketize", "searchsorted", "isin",
    "cross", "grid_sampler", "_loss",
)  # fmt: skip
"""Operations on several tensors that work place by place, or only move numbers, have one of these in their name."""

_CLOSED = (nn.RNNBase, nn.utils.parametrize.ParametrizationList)
"""Counted as a whole when they end: recurrent layers by their sizes, what makes weights of weights as nothing."""

_BIASED = (nn.Linear, nn.modules.conv._ConvNd)
_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


@dataclass(frozen=True)
class LayerCost:
    """One module: its own parameters, operations of a sample, and its output without the batch."""

    name: str
    type: str
    params: int
    ops: int
    output: tuple[int, ...]
    activation_bytes: int


@dataclass(frozen=True)
class Cost:
    """The cost of a network for one sample.

    Parameters
    ----------
    rows : tuple of LayerCost
        Modules that hold parameters, compute, or have no further modules inside, in order of definition.
    params : int
        All parameters, shared ones once.
    ops : int
        In ``unit``: ``"mac"`` (a multiply-add is 1) or ``"flop2"`` (it is 2), with biases if ``bias``.
    peak_activation_bytes : int
        The most memory of activations alive at one moment of a forward in evaluation: the input, which the
        caller holds, and every tensor that an operation or a recurrent layer has returned
        and somebody still needs.
    """

    rows: tuple[LayerCost, ...]
    params: int
    ops: int
    unit: str
    bias: bool
    peak_activation_bytes: int

    @property
    def macs(self) -> int:
        """The operations as multiply-adds, whatever the unit."""
        return self.ops if self.unit == "mac" else self.ops // 2

    def row(self, name: str) -> LayerCost:
        """The row of one module."""
        for one in self.rows:
            if one.name == name:
                return one
        raise InputError(f"no module {name!r} in this cost; there are: {', '.join(one.name for one in self.rows)}")

    def table(self) -> evidence.Table:
        """As a figure: the totals, and one line for each module that holds parameters or computes."""
        unit = "MACs" if self.unit == "mac" else "FLOPs"
        total = ("total", "", self.params, self.ops, "", self.peak_activation_bytes)
        rows: list[tuple[str | int | float | None, ...]] = [
            (
                one.name or "(itself)",
                one.type,
                one.params,
                one.ops,
                "x".join(map(str, one.output)),
                one.activation_bytes,
            )
            for one in self.rows
            if one.params or one.ops
        ]
        return evidence.Table(
            title="Cost of one sample",
            alt=f"{self.params:,} parameters, {self.ops:,} {unit}, {self.peak_activation_bytes:,} bytes of "
            "activations at the peak (first line of the last column).",
            columns=("layer", "type", "parameters", unit, "output", "activation bytes"),
            rows=[total, *rows],
        )


def weights(net: nn.Module, of: Types = nn.Module) -> int:
    """Number of weights without biases: parameters of two or more dimensions, in modules of a type.

    >>> weights(nn.Linear(784, 300))
    235200
    """
    own = {
        id(parameter): parameter.numel()
        for module in net.modules()
        if isinstance(module, of)
        for parameter in module.parameters(recurse=False)
        if parameter.ndim >= 2
    }
    return sum(own.values())


def count(
    net: nn.Module,
    shape_or_example: Sequence[int] | Tensor | Sequence[Tensor],
    *,
    unit: str = "mac",
    bias: bool = False,
) -> Cost:
    """Count parameters, operations and peak activation memory for one sample; ``net`` is not touched.

    Matrix products and convolutions count; what is done place by place, sums and means count nothing, also where they
    spell a product. A module class of your own may say ``costs_nothing = True``: then it need not be countable.

    Parameters
    ----------
    net : nn.Module
        Counted in evaluation mode, on a copy without data where it can run there.
    shape_or_example : sequence of int, tensor, or sequence of tensors
        One sample's shape without the batch; or a batch (several for several inputs), of which the
        first sample is used.
    unit : str
        ``"mac"`` or ``"flop2"``, which is twice as much.
    bias : bool
        Count one operation more for each output of a layer with a bias (spec majority-voting-pruning,
        eq. 2.20).

    Raises
    ------
    InputError
        When a module with weights of two or more dimensions multiplied tensors in a way that nothing here counts.

    Examples
    --------
    >>> cost = count(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), (4,))
    >>> cost.params, cost.ops, cost.peak_activation_bytes
    (58, 48, 80)
    """
    choose("unit", unit, ("mac", "flop2"))
    refuse_closed(net)
    inputs = _inputs(net, shape_or_example)
    ledger = try_out(net, inputs, _watch)
    factor = 1 if unit == "mac" else 2
    seen: set[int] = set()
    rows = []
    for name, module in net.named_modules():
        params = 0
        for parameter in module.parameters(recurse=False):
            params += 0 if id(parameter) in seen else parameter.numel()
            seen.add(id(parameter))
        _refuse_uncounted(name, module, ledger)
        ops = factor * (ledger.macs[name] + (ledger.adds[name] if bias else 0))
        leaf = name in ledger.outputs and not any(module.children())
        if params or ops or leaf:
            output, size = ledger.outputs.get(name, ((), 0))
            rows.append(LayerCost(name, type(module).__name__, params, ops, output, size))
    return Cost(
        rows=tuple(rows),
        params=sum(row.params for row in rows),
        ops=sum(row.ops for row in rows),
        unit=unit,
        bias=bias,
        peak_activation_bytes=ledger.peak,
    )


def _inputs(net: nn.Module, given: Sequence[int] | Tensor | Sequence[Tensor]) -> list[Tensor]:
    if isinstance(given, Tensor):
        return [given[:1].clone()]
    batches = [one[:1].clone() for one in given if isinstance(one, Tensor)]
    if batches and len(batches) == len(given):
        return batches
    sides = [side for side in given if isinstance(side, int) and side > 0]
    if not sides or len(sides) < len(given):
        raise InputError(f"{given!r} is no sample; give its shape without the batch, such as (1, 28, 28), or a batch")
    return [torch.zeros(1, *sides, dtype=place_of(net)[1])]


def _refuse_uncounted(name: str, module: nn.Module, ledger: _Ledger) -> None:
    held = [one for one in module.parameters(recurse=False) if sum(side > 1 for side in one.shape) > 1]
    if not held or getattr(module, "costs_nothing", False):
        return
    if unknown := ledger.unknown.get(name):
        raise InputError(
            f"module {name!r} ({type(module).__name__}) holds weights, and its operation {unknown} cannot be counted; "
            "write it as a matrix product, or say costs_nothing = True in its class"
        )


class _Ledger(TorchDispatchMode):
    """Enters each operation under the innermost module that runs, and follows the memory of its results."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs: dict[str, int] = defaultdict(int)
        self.adds: dict[str, int] = defaultdict(int)
        self.unknown: dict[str, str] = {}
        self.outputs: dict[str, tuple[tuple[int, ...], int]] = {}
        self.running: list[tuple[str, nn.Module | None]] = [("", None)]
        self.closed = 0
        self.alive: dict[int, int] = {}
        self.now = 0
        self.peak = 0

    def hold(self, tensor: Tensor) -> None:
        """Count the memory behind ``tensor`` until nobody needs it."""
        storage = tensor.untyped_storage()
        key, size = id(storage), storage.nbytes()
        if key in self.alive:
            return
        self.alive[key] = size
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._release, key).atexit = False

    def _release(self, key: int) -> None:
        self.now -= self.alive.pop(key)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = kwargs or {}
        packet = func._overloadpacket
        if packet not in flop_registry and func is not torch.ops.prim.device.default:
            with self:
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        out = func(*args, **kwargs)
        if self.closed:
            return out
        results = out if isinstance(out, (tuple, list)) else (out,)
        for returned, result in zip(func._schema.returns, results, strict=False):
            # Views and in-place operations return memory that is already counted, or belongs to a weight.
            if isinstance(result, Tensor) and returned.alias_info is None:
                self.hold(result)
        name, module = self.running[-1]
        if packet in flop_registry:
            self.macs[name] += flop_registry[packet](*args, **kwargs, out_val=out) // 2
            if _has_bias(packet, args, kwargs) and not isinstance(module, _BIASED):
                self.adds[name] += results[0].numel()
        elif packet in _SIZED_BY:
            self.macs[name] += args[_SIZED_BY[packet]].numel()
        elif _may_multiply(func, args):
            self.unknown[name] = str(packet)
        return out

    def enter(self, name: str, module: nn.Module) -> None:
        """A module begins."""
        self.running.append((name, module))
        self.closed += isinstance(module, _CLOSED)

    def leave(self, name: str, module: nn.Module, args: tuple[object, ...], out: object) -> None:
        """A module ends: note what it returned, and what a recurrent one or a bias costs."""
        self.running.pop()
        tensors = _tensors(out)
        if isinstance(module, _CLOSED):
            self.closed -= 1
            for tensor in tensors:
                self.hold(tensor)
        if isinstance(module, nn.RNNBase):
            steps = _tensors(args)[0]
            states = steps.numel() // module.input_size
            products, outputs = _recurrent(module)
            self.macs[name] += states * products
            self.adds[name] += states * outputs if module.bias else 0
        elif isinstance(module, _BIASED) and module.bias is not None:
            self.adds[name] += sum(tensor.numel() for tensor in tensors)
        shape = tuple(tensors[0].shape[1:]) if tensors else ()
        self.outputs[name] = shape, sum(one.numel() * one.element_size() for one in tensors)


def _watch(net: nn.Module, inputs: Sequence[Tensor]) -> _Ledger:
    """Run once under a ledger, attention in its plain form so that each product is seen."""
    ledger = _Ledger()
    hooks = []
    for name, module in net.named_modules():
        hooks.append(module.register_forward_pre_hook(_entering(ledger, name)))
        hooks.append(module.register_forward_hook(_leaving(ledger, name), with_kwargs=True))
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), ledger:
            for one in inputs:
                ledger.hold(one)
            net(*inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for hook in hooks:
            hook.remove()
    return ledger


def _entering(ledger: _Ledger, name: str) -> Callable[..., None]:
    return lambda module, args: ledger.enter(name, module)


def _leaving(ledger: _Ledger, name: str) -> Callable[..., None]:
    return lambda module, args, kwargs, out: ledger.leave(name, module, (*args, *kwargs.values()), out)


def _tensors(value: object) -> list[Tensor]:
    if isinstance(value, nn.utils.rnn.PackedSequence):
        return [value.data]
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return _tensors(list(value.values()))
    if isinstance(value, (tuple, list)):
        return [tensor for one in value for tensor in _tensors(one)]
    return []


def _may_multiply(func: torch._ops.OpOverload, args: Sequence[object]) -> bool:
    """Whether an operation may be a product that nobody counts: tensors of numbers go in, and are not taken one by one.

    >>> two = [torch.ones(2, 2), torch.ones(2, 2)]
    >>> _may_multiply(torch.ops.aten._cdist_forward.default, two), _may_multiply(torch.ops.aten.add.Tensor, two)
    (True, False)
    """
    if {torch.Tag.pointwise, torch.Tag.reduction} & set(func.tags) or any(word in func.name() for word in _FREE):
        return False
    numbers = sum(isinstance(one, Tensor) and (one.is_floating_point() or one.is_complex()) for one in args)
    return numbers > (func.namespace == "aten")


def _has_bias(packet: object, args: Sequence[object], kwargs: dict[str, object]) -> bool:
    if packet is _ATEN.addmm:
        return True
    if packet in (_ATEN.convolution, _ATEN._convolution):
        return (args[2] if len(args) > 2 else kwargs.get("bias")) is not None
    return False


def _recurrent(module: nn.RNNBase) -> tuple[int, int]:
    """Multiply-adds and biased outputs of one time step, over layers and directions.

    A layer has ``gates`` products of its input and of its recurrent state, each with its bias; a
    projection (LSTM) multiplies the hidden state once more.
    """
    gates, hidden = _GATES[module.mode], module.hidden_size
    state = module.proj_size or hidden
    directions = 2 if module.bidirectional else 1
    products = 0
    for layer in range(module.num_layers):
        inputs = state * directions if layer else module.input_size
        products += directions * (gates * hidden * (inputs + state) + hidden * module.proj_size)
    return products, module.num_layers * directions * 2 * gates * hidden
