"""Sparse execution: edges alone are computed where a table that was measured on this machine says that it is faster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from nervure.errors import InputError
from nervure.export.latency import measure
from nervure.nets.seed import seeded
from nervure.nets.shadow import place_of
from nervure.nets.structure.check import difference
from nervure.nets.structure.copying import copied
from nervure.nets.structure.twin import tensors
from nervure.observe.borrowed import borrowed
from nervure.sparsify.masked import bake, masks_of
from nervure.sparsify.sparse_layers import is_pointwise, sparse_layer
from nervure.sparsify.times import SAME, LayerTime, TimeTable, this_machine

__all__ = ["measured", "sparse", "table_of"]

_ATTRIBUTE = "nervure_times"


def measured(net: nn.Module, example: Tensor | Sequence[Tensor], *, zeros: float = 0.5, runs: int = 30) -> TimeTable:
    """Time every layer that could be sparse on what it reads, all of them in turn, dense and sparse.

    Parameters
    ----------
    net : Module
        With exact zeros in its weights, or masked; not changed.
    example : tensor or sequence of tensors
        A batch (n, ...) of the size that counts: what pays at one size need not at another.
    zeros : float
        Layers with a smaller share of zeros are not tried.
    runs : int
        Rounds, at least 30.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2)).requires_grad_(False)
    >>> net[0].weight[:, 2:] = 0
    >>> table = measured(net, torch.randn(2, 8))
    >>> [(row.layer, row.zeros, row.ratio is None) for row in table.rows]
    [('0', 0.75, False), ('2', 0.0, True)]
    """
    net, inputs = _plain(net), _inputs(example)
    read = _reads(net, inputs)
    rows: dict[str, LayerTime] = {}
    calls: dict[str, Callable[[], object]] = {}
    for name, module in net.named_modules():
        if isinstance(module, nn.Linear | _ConvNd):
            rows[name], pair = _tried(name, module, read.get(name), zeros)
            calls |= {f"{kind} {name}": call for kind, call in pair.items()}
    if not rows:
        raise InputError(f"{type(net).__name__} has no linear layer or convolution that could be sparse")
    # All layers in one round: as in the network, each finds the cache as others left it.
    with torch.inference_mode():
        times = measure(calls, runs)
    for name, row in rows.items():
        if f"dense {name}" in times:
            one, two = times[f"dense {name}"], times[f"sparse {name}"]
            found = {"dense": one.median, "sparse": two.median, "ratio": two.ratio(one)}
            rows[name] = row.model_copy(update=found)
    return TimeTable(
        rows=tuple(rows.values()),
        machine=this_machine(place_of(net)[0]),
        threads=torch.get_num_threads(),
        batch=len(inputs[0]),
        runs=runs,
    )


def sparse(net: nn.Module, example: Tensor | Sequence[Tensor], *, table: TimeTable | None = None) -> nn.Module:
    """A copy for evaluation whose layers compute by their edges where the measured table says that it pays.

    Parameters
    ----------
    net : Module
        With exact zeros in its weights, or masked; not changed.
    example : tensor or sequence of tensors
        A batch (n, ...) of the size that counts.
    table : TimeTable, optional
        What was measured for this network on this machine; by default it is measured now.

    Returns
    -------
    Module
        It gives the same to 1e-5, and keeps its table (:func:`table_of`). It is a way to run a network, not one to
        keep it, so it has no Origin: save the network that it was made from.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(8, 4)).requires_grad_(False)
    >>> net[0].weight[:, 2:] = 0
    >>> from nervure.sparsify.times import LayerTime, TimeTable, this_machine
    >>> row = LayerTime(layer="0", shape=(4, 8), zeros=0.75, vectors=2, dense=2e-5, sparse=1e-5, ratio=0.5)
    >>> table = TimeTable(rows=(row,), machine=this_machine(), threads=torch.get_num_threads(), batch=2, runs=30)
    >>> sparse(net, torch.randn(2, 8), table=table)[0]
    SparseLinear(in=8, out=4, edges=8)
    """
    plain, inputs = _plain(net), _inputs(example)
    table = measured(plain, inputs) if table is None else table
    _check(table, plain, inputs)
    fast = copied(plain).eval()
    for name in table.pays:
        fast = _put(fast, name, sparse_layer(plain.get_submodule(name)))
    gap = difference(_outputs(plain, inputs), _outputs(fast, inputs))
    if not gap <= SAME:
        raise InputError(f"with sparse layers the network gives another result ({gap:.1e}); keep it dense")
    vars(fast).pop("nervure_origin", None)
    object.__setattr__(fast, _ATTRIBUTE, table)
    return fast


def table_of(net: nn.Module) -> TimeTable | None:
    """The table by which a network's layers were chosen, or None.

    >>> table_of(nn.Linear(2, 1)) is None
    True
    """
    found = getattr(net, _ATTRIBUTE, None)
    return found if isinstance(found, TimeTable) else None


def _plain(net: nn.Module) -> nn.Module:
    return bake(net) if masks_of(net) else net


def _inputs(example: Tensor | Sequence[Tensor]) -> list[Tensor]:
    inputs = [example] if isinstance(example, Tensor) else list(example)
    if not inputs or any(not one.ndim or not len(one) for one in inputs):
        raise InputError("an example needs at least one sample, as (n, ...)")
    return inputs


@contextmanager
def _predicting(net: nn.Module) -> Iterator[torch.device]:
    """The network as whoever predicts with it calls it: fused attention stays as it is set."""
    fused = torch.backends.mha.get_fastpath_enabled()
    with borrowed(net) as device, torch.inference_mode():
        torch.backends.mha.set_fastpath_enabled(fused)
        yield device


def _outputs(net: nn.Module, inputs: Sequence[Tensor]) -> list[Tensor]:
    with _predicting(net) as device, seeded(0):
        return tensors(net(*(one.to(device) for one in inputs)))


def _reads(net: nn.Module, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
    """What each linear layer and convolution that is called reads in its first call."""
    found: dict[str, Tensor] = {}

    def noted(name: str, forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def read(*args: Tensor, **kwargs: Tensor) -> Tensor:
            found.setdefault(name, (args[0] if args else next(iter(kwargs.values()))).clone())
            return forward(*args, **kwargs)

        return read

    # A hook would turn fused attention off, which reads weights and calls no layer.
    layers = [(name, module) for name, module in net.named_modules() if isinstance(module, nn.Linear | _ConvNd)]
    own = [vars(module).get("forward") for _, module in layers]
    try:
        for name, module in layers:
            vars(module)["forward"] = noted(name, module.forward)
        with _predicting(net) as device:
            net(*(one.to(device) for one in inputs))
    except Exception as error:
        shapes = ", ".join(str(tuple(one.shape)) for one in inputs)
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{type(net).__name__} does not run on input of shape {shapes}: {reason}") from error
    finally:
        for (_, module), forward in zip(layers, own, strict=True):
            vars(module).pop("forward", None)
            vars(module).update({} if forward is None else {"forward": forward})
    return found


def _tried(
    name: str, module: nn.Linear | _ConvNd, x: Tensor | None, fewest: float
) -> tuple[LayerTime, dict[str, Callable[[], object]]]:
    """What is known of a layer before it is timed, and the calls to time, dense and sparse; none if it cannot be."""
    shape, share = _about(module)
    row = LayerTime(layer=name, shape=shape, zeros=share)
    if why := _unfit(module, x, share, fewest):
        return row.model_copy(update={"why": why}), {}
    assert x is not None
    try:
        edges = sparse_layer(module)
        with torch.inference_mode():
            dense, thin = module(x), edges(x)
    except RuntimeError as error:  # a build of PyTorch without the kernel
        return row.model_copy(update={"why": str(error).strip().splitlines()[0]}), {}
    gap = difference([dense], [thin])
    why = "" if gap <= SAME else f"its result differs by {gap:.1e}"
    row = row.model_copy(update={"vectors": thin.numel() // shape[0], "difference": gap, "why": why})
    return row, {"dense": lambda: _done(module(x)), "sparse": lambda: _done(edges(x))}


def _unfit(module: nn.Module, x: Tensor | None, share: float, fewest: float) -> str:
    if x is None:
        return "the network never calls it"
    if not (type(module) is nn.Linear or is_pointwise(module)):
        return "only plain linear layers and 1x1 convolutions have a sparse kernel"
    return f"too few zeros ({share:.0%}) to be tried" if share < fewest else ""


def _done(value: Tensor) -> Tensor:
    if value.is_cuda:
        torch.cuda.synchronize(value.device)
    return value


def _about(module: nn.Linear | _ConvNd) -> tuple[tuple[int, int], float]:
    """Outputs and inputs, and the share of zeros."""
    weight = module.weight.detach()
    return (int(weight.shape[0]), weight[0].numel()), float(weight.eq(0).double().mean())


def _check(table: TimeTable, net: nn.Module, inputs: Sequence[Tensor]) -> None:
    here = (this_machine(place_of(net)[0]), torch.get_num_threads(), len(inputs[0]))
    for what, was, now in zip(
        ("on", "with threads =", "at batch ="), (table.machine, table.threads, table.batch), here, strict=True
    ):
        if was != now:
            raise InputError(f"this table was measured {what} {was}, and here it is {now}; measure anew")
    modules = dict(net.named_modules())
    for row in table.rows:
        module = modules.get(row.layer)
        same = isinstance(module, nn.Linear | _ConvNd) and _about(module) == (row.shape, row.zeros)
        if not same:
            raise InputError(f"this table is for another network: {row.layer!r} is not the same; measure anew")


def _put(net: nn.Module, name: str, layer: nn.Module) -> nn.Module:
    """The network with ``layer`` in the place of the module of that name, wherever that module stands."""
    if not name:
        return layer.eval()
    old = net.get_submodule(name)
    for parent in list(net.modules()):
        for key, child in list(parent._modules.items()):
            if child is old:
                setattr(parent, key, layer.eval())
    return net
