"""Latency as measured: candidates take turns, so that drift of the machine hits all of them alike."""

from __future__ import annotations

import contextlib
import copy
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from nervure.data.dataset import Preprocessing
from nervure.errors import InputError, NervureError
from nervure.evidence import Table
from nervure.export.deployed import Deployed, own_copy
from nervure.export.formats import Job, Outputs
from nervure.export.graph import quiet
from nervure.export.parity import difference
from nervure.objectives.call import takes_mask

__all__ = ["ENGINES", "Timing", "compare_latency", "latency_table", "measure"]

ENGINES = ("eager", "compiled", "onnxruntime")
_FEWEST_RUNS = 30
# Engines may reorder sums; a larger difference than this is said in the table.
_SAME = 1e-3


@dataclass(frozen=True)
class Timing:
    """The durations of one candidate's runs in seconds, in the order in which they were taken.

    >>> Timing((1.0, 3.0, 2.0)).median
    2.0
    """

    seconds: tuple[float, ...]

    @property
    def runs(self) -> int:
        """How many runs were timed."""
        return len(self.seconds)

    @property
    def median(self) -> float:
        """The median duration, in seconds."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> tuple[float, float]:
        """The lower and upper quartile, in seconds."""
        low, _, high = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return low, high

    def ratio(self, base: Timing) -> float:
        """The median over rounds of this duration over that of ``base`` in the same round."""
        return statistics.median(mine / theirs for mine, theirs in zip(self.seconds, base.seconds, strict=True))


def measure(
    candidates: Mapping[str, Callable[[], object]], runs: int = _FEWEST_RUNS, warmup: int = 5
) -> dict[str, Timing]:
    """Time candidates in rounds: each runs once a round, in an order drawn for the round.

    So no candidate always has the same one before it, whose memory it finds in the caches.

    Parameters
    ----------
    candidates : mapping of str to callable
        Each is called without arguments and returns when its work is done.
    runs : int
        Timed rounds, at least 30.
    warmup : int
        Rounds before them that are not timed.

    Examples
    --------
    >>> timings = measure({"sum": lambda: sum(range(10)), "sort": lambda: sorted(range(10))})
    >>> [(name, timing.runs) for name, timing in timings.items()]
    [('sum', 30), ('sort', 30)]
    """
    if runs < _FEWEST_RUNS:
        raise InputError(f"runs = {runs}; a latency is the median of at least {_FEWEST_RUNS}")
    order = list(candidates)
    seconds: dict[str, list[float]] = {name: [] for name in order}
    for round_ in range(warmup + runs):
        for name in random.Random(round_).sample(order, len(order)):
            call = candidates[name]
            start = time.perf_counter()
            call()
            took = time.perf_counter() - start
            if round_ >= warmup:
                seconds[name].append(took)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def compare_latency(
    nets: Mapping[str, nn.Module],
    example: Tensor | Sequence[Tensor],
    *,
    batch: int = 1,
    threads: int = 1,
    mask: Tensor | None = None,
    runs: int = _FEWEST_RUNS,
    warmup: int = 5,
) -> dict[str, Timing]:
    """Time several modules on the same input, taking turns: a pruned network against its original.

    ``example`` is (n, ...) network input, or several for a network that reads several, repeated or cut to ``batch``;
    modules run in evaluation mode where they are, and their mode is restored.

    Examples
    --------
    >>> nets = {"wide": nn.Linear(256, 256), "narrow": nn.Linear(256, 8)}
    >>> timings = compare_latency(nets, torch.rand(1, 256))
    >>> timings["narrow"].ratio(timings["wide"]) > 0
    True
    """
    first, *others = [example] if isinstance(example, Tensor) else example
    for one in (first, *others):
        _check(batch, threads, one)
    inputs = _of_batch(first, mask, batch)
    more = [_of_batch(one, None, batch)[0] for one in others]
    with contextlib.ExitStack() as stack:
        stack.enter_context(_threads(threads))
        for net in nets.values():
            stack.enter_context(_evaluating(net))
        calls = {name: _caller(net, inputs if takes_mask(net) else inputs[:1], more) for name, net in nets.items()}
        with torch.inference_mode():
            for name, call in calls.items():
                _first(name, call)
            return measure(calls, runs, warmup)


def latency_table(
    net: nn.Module,
    example: Tensor,
    *,
    batch: int = 1,
    threads: int = 1,
    mask: Tensor | None = None,
    engines: Sequence[str] = ENGINES,
    onnx_path: Path | str | None = None,
    runs: int = _FEWEST_RUNS,
    warmup: int = 5,
) -> Table:
    """One network under several engines on the CPU, taking turns; an engine that fails is a row with a note.

    Parameters
    ----------
    net : module
        A network, timed alone on network input; or a :class:`Deployed` one, timed on stored values with its
        preprocessing.
    example : tensor
        (n, ...) values for ``net``, repeated or cut to ``batch``.
    batch, threads : int
        Samples a call, and threads for both PyTorch and ONNX Runtime; PyTorch's are put back afterwards.
    mask : tensor, optional
        (n, time) bool, for networks of series.
    engines : sequence of str
        Of ``"eager"``, ``"compiled"`` and ``"onnxruntime"``.
    onnx_path : path, optional
        A file that was exported from ``net`` as it is given; by default one is made in memory.
    runs, warmup : int
        As for :func:`measure`.

    Examples
    --------
    >>> table = latency_table(nn.Linear(4, 2), torch.rand(1, 4), batch=8, engines=["eager"])
    >>> table.columns[:3], table.rows[0][:3]
    (('engine', 'batch', 'threads'), ('eager', 8, 1))
    """
    _check(batch, threads, example)
    unknown = [name for name in engines if name not in ENGINES]
    if unknown or not engines:
        raise InputError(f"unknown engine {unknown[0] if unknown else ''!r}; there are: {', '.join(ENGINES)}")
    own = own_copy(net)
    deployed = own if isinstance(own, Deployed) else Deployed(own, Preprocessing()).eval()
    inputs = _of_batch(example.detach().cpu().float(), mask, batch)
    calls: dict[str, Callable[[], Outputs]] = {}
    notes: dict[str, str] = {}
    with _threads(threads), torch.inference_mode():
        reference = _first("the network", _caller(deployed, inputs))
        for name in engines:
            try:
                calls[name], notes[name] = _prepared(name, deployed, inputs, threads, onnx_path, reference)
            except Exception as error:
                notes[name] = _note(error)
        timings = measure(calls, runs, warmup)
    rows = [_row(name, timings.get(name), batch, threads, notes[name]) for name in engines]
    return _as_table(rows, batch, threads)


def _row(name: str, timing: Timing | None, batch: int, threads: int, note: str) -> tuple[str | int | float | None, ...]:
    if timing is None:
        return (name, batch, threads, None, None, None, None, 0, note)
    times = [1e3 * seconds for seconds in (timing.median, *timing.spread)]
    return (name, batch, threads, *times, batch / timing.median, timing.runs, note)


def _as_table(rows: Sequence[Sequence[str | int | float | None]], batch: int, threads: int) -> Table:
    said = [f"{row[0]} {row[3]:.3g} ms" if row[3] is not None else f"{row[0]} not measured" for row in rows]
    times = ("median ms", "lower quartile ms", "upper quartile ms")
    return Table(
        title=f"Latency at batch {batch} with {threads} thread{'s' if threads > 1 else ''}",
        alt=f"Median time of one call: {', '.join(said)}.",
        columns=("engine", "batch", "threads", *times, "samples/s", "runs", "note"),
        rows=tuple(tuple(row) for row in rows),
    )


def _prepared(
    engine: str,
    deployed: Deployed,
    inputs: tuple[Tensor, ...],
    threads: int,
    onnx_path: Path | str | None,
    reference: Outputs,
) -> tuple[Callable[[], Outputs], str]:
    """A call that runs the engine, and a note when its result is not the eager one."""
    if engine == "eager":
        return _caller(deployed, inputs), ""
    if engine == "compiled":
        with quiet():
            compiled = torch.compile(copy.deepcopy(deployed), dynamic=False)
            call = _caller(compiled, inputs)
            found = call()
    else:
        call = _onnx_caller(deployed, inputs, threads, onnx_path, tuple(reference))
        found = call()
    worst = difference(found, reference)
    return call, f"{worst.output} differs from eager by {worst.value:.2g}" if worst.value > _SAME else ""


def _onnx_caller(
    deployed: Deployed,
    inputs: tuple[Tensor, ...],
    threads: int,
    onnx_path: Path | str | None,
    outputs: tuple[str, ...],
) -> Callable[[], Outputs]:
    from nervure.export.onnx_file import dump, session

    if onnx_path is not None:
        source: Path | bytes = Path(onnx_path)
    else:
        with torch.inference_mode(False):
            # Weights that were copied under inference mode cannot be traced, so the tracer gets its own.
            source = dump(Job(deployed, tuple(inputs[0].shape[1:]), len(inputs) > 1, outputs, {}))
    opened = session(source, threads)
    feed = {name: value.numpy() for name, value in zip(("x", "mask"), inputs, strict=False)}
    names = [one.name for one in opened.get_outputs()]

    def call() -> Outputs:
        return {name: torch.from_numpy(value) for name, value in zip(names, opened.run(None, feed), strict=True)}

    return call


def _caller(
    net: Callable[..., object], inputs: tuple[Tensor, ...], more: Sequence[Tensor] = ()
) -> Callable[[], Outputs]:
    x, masks = inputs[0], dict(zip(("mask",), inputs[1:], strict=False))

    def call() -> Outputs:
        found = net(x, *more, **masks)
        if x.is_cuda:
            torch.cuda.synchronize(x.device)
        return cast(Outputs, found)

    return call


def _first(name: str, call: Callable[[], Outputs]) -> Outputs:
    """The first call, which shows whether the network fits its input."""
    try:
        return call()
    except NervureError:
        raise
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{name} does not run on this example ({reason[:160]}); give its own input") from error


def _note(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    if isinstance(error, NervureError):
        return lines[0]
    return f"failed: {type(error).__name__}: {lines[0][:160]}"


def _check(batch: int, threads: int, example: Tensor) -> None:
    for name, value in (("batch", batch), ("threads", threads)):
        if value < 1:
            raise InputError(f"{name} = {value}; give 1 or more")
    if example.ndim < 2 or not len(example):
        raise InputError(f"example of shape {tuple(example.shape)}; give at least one sample, as (n, ...)")


def _of_batch(example: Tensor, mask: Tensor | None, batch: int) -> tuple[Tensor, ...]:
    turn = torch.arange(batch, device=example.device) % len(example)
    x = example[turn].contiguous()
    return (x,) if mask is None else (x, mask.to(example.device, torch.bool)[turn])


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _evaluating(net: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
