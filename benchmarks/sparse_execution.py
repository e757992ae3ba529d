"""Where zeros make a network faster on a CPU, and where not: masked, dense, sparse kernels, compacted, ONNX Runtime.

    python benchmarks/sparse_execution.py [--runs 30] [--threads 1] [--rates 0.5 0.8 0.9 0.95 0.98] [-o FILE]

Three networks with random weights lose edges by iSparse at five rates. Dense with the zeros in its weights, each takes
turns with: a copy of itself (``control``, for the clock), the network as it is masked (``masked``), with every layer on
sparse kernels that can be (``sparse``), with those alone where the measured table says that it pays (``chosen``),
without its empty units (``compacted``), and in ONNX Runtime; ``onnxruntime compacted`` takes turns with
``onnxruntime``. They go in pairs, because in a longer round each finds the cache as the one before it left it. A
speed-up is the median over rounds of the first one's time by the other's in the same round.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from pathlib import Path

import torch
from common import machine, write_result
from torch import Tensor, nn

from nervure import nets, sparsify
from nervure.data import Preprocessing
from nervure.export.deployed import Deployed
from nervure.export.formats import Job
from nervure.export.latency import measure
from nervure.export.onnx_file import dump, session
from nervure.sparsify.compact import compacted
from nervure.sparsify.execute import measured, sparse
from nervure.sparsify.times import TimeTable

RATES = (0.5, 0.8, 0.9, 0.95, 0.98)


def lenet() -> tuple[nn.Module, tuple[int, ...], tuple[int, ...]]:
    return nets.build("lenet-300-100", in_shape=(1, 28, 28), classes=10, seed=0), (1, 28, 28), (1, 64)


def wide() -> tuple[nn.Module, tuple[int, ...], tuple[int, ...]]:
    return nets.build("mlp", in_shape=(1000,), classes=10, widths=[1000, 1000], seed=0), (1000,), (1, 64)


def pointwise() -> tuple[nn.Module, tuple[int, ...], tuple[int, ...]]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(64, 256, 1), nn.ReLU(), nn.Conv2d(256, 256, 1), nn.ReLU(), nn.Conv2d(256, 128, 1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10),
        )  # fmt: skip
    return net.eval(), (64, 14, 14), (1, 8)


NETWORKS = {"lenet-300-100": lenet, "mlp 1000-1000": wide, "1x1 convolutions": pointwise}


def caller(net: nn.Module, x: Tensor) -> Callable[[], object]:
    return lambda: net(x)


def runner(net: nn.Module, shape: tuple[int, ...], threads: int) -> Callable[[Tensor], Callable[[], object]]:
    opened = session(dump(Job(Deployed(net, Preprocessing()).eval(), shape, False, ("logits",), {})), threads)
    return lambda x: lambda: opened.run(None, {"x": x.numpy()})


def everywhere(table: TimeTable) -> TimeTable:
    """The table as if sparse kernels paid wherever they could be timed."""
    rows = [row if row.ratio is None else row.model_copy(update={"ratio": 0.0}) for row in table.rows]
    return table.model_copy(update={"rows": tuple(rows)})


def at_rate(
    net: nn.Module, shape: tuple[int, ...], batches: tuple[int, ...], rate: float, runs: int, threads: int
) -> dict[str, object]:
    """One network at one rate: what compacting removes, and for each batch the speed-ups and the table of layers."""
    generator = torch.Generator().manual_seed(1)
    example = torch.randn(max(batches), *shape, generator=generator)
    mask = sparsify.plan(net, None, "isparse", rate, example=example[:3], initial="identity")
    thin = mask.apply(net).eval()
    dense = sparsify.bake(thin).eval()
    found = compacted(dense, example[:3])
    plain = runner(dense, shape, threads)
    small = runner(found.net.eval(), shape, threads) if found.removed else plain
    result: dict[str, object] = {
        "units_removed": sum(found.removed.values()),
        "parameters": [sum(one.numel() for one in net_.parameters()) for net_ in (dense, found.net)],
    }
    for batch in batches:
        x = example[:batch]
        table = measured(dense, x, runs=runs)
        others = {
            "control": caller(copy.deepcopy(dense), x), "masked": caller(thin, x),
            "sparse": caller(sparse(dense, x, table=everywhere(table)), x),
            "chosen": caller(sparse(dense, x, table=table), x), "compacted": caller(found.net, x),
            "onnxruntime": plain(x),
        }  # fmt: skip
        pairs = {name: (caller(dense, x), call) for name, call in others.items()}
        pairs["onnxruntime compacted"] = plain(x), small(x)
        with torch.inference_mode():
            times = {name: measure(dict(zip("ab", pair, strict=True)), runs, 3) for name, pair in pairs.items()}
        result[f"batch {batch}"] = {
            "dense_ms": round(1e3 * times["control"]["a"].median, 4),
            "speedup": {name: round(1 / pair["b"].ratio(pair["a"]), 3) for name, pair in times.items()},
            "pays": list(table.pays),
            "layers": {row.layer: row.verdict for row in table.rows},
        }
    return result


def main() -> None:
    """Take turns, and write the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rates", type=float, nargs="+", default=list(RATES))
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("-o", "--out", type=Path, default=Path(__file__).parent / "results" / "sparse_execution.json")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    about, begin = machine(given.threads), time.perf_counter()
    rows: dict[str, dict[str, object]] = {}
    for name in given.networks:
        net, shape, batches = NETWORKS[name]()
        rows[name] = {
            f"{rate:g}": at_rate(net, shape, batches, rate, given.runs, given.threads) for rate in given.rates
        }
    write_result(
        given.out,
        {
            "claim": "sparse kernels are taken only where they were measured to win; zeros alone save no time",
            "command": "python benchmarks/sparse_execution.py",
            "weights": "random; edges removed by isparse, final scores identity",
            "runs": given.runs,
            "networks": rows,
            "seconds": round(time.perf_counter() - begin, 1),
            "machine": about,
        },
    )


if __name__ == "__main__":
    main()
