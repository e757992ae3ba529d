"""What an SSIM matrix costs: all pairs of a layer's filters, beside scikit-image called for each pair.

    python benchmarks/ssim.py [--filters 512] [--channels 512] [--pairs 400] [--rounds 9] [--threads 2] [--plain]

Random weights (filters, channels, 3, 3), windows of 3 x 3, each filter flattened to 9 x channels. A round times, in
shuffled order, our whole matrix with the compiled kernel, and scikit-image's ``structural_similarity`` for a random
sample of pairs, in one thread and in as many as we have. scikit-image's time for the matrix is the sample's, scaled
to n (n - 1) / 2 pairs; its faster form counts. Ratios are taken within a round; the median over rounds is reported
with the quartiles. ``--plain`` also times plain torch, which takes many seconds, in two rounds. Compilation happens
before and is stated apart. Every sampled pair must agree to 1e-5. On a machine that others use, look at the ratio of
processor time too: it is of one thread's work, so two idle processors nearly double it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import skimage
import torch
from skimage.metrics import structural_similarity

from nervure.features.ssim import Filters, flatten, pairwise
from nervure.store.atomic import write_json

HERE = Path(__file__).parent
TORCH_ROUNDS = 2


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """By the clock, and of all processors together."""
    start, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - used


def spread(values: list[float]) -> dict[str, float]:
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return {
        "median": round(float(middle), 4), "lower_quartile": round(float(low), 4),
        "upper_quartile": round(float(high), 4), "minimum": round(min(values), 4), "maximum": round(max(values), 4),
    }  # fmt: skip


def machine(threads: int) -> dict[str, object]:
    import numba

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return {
        "processor": f"{models[0]} x {len(models)}" if models else platform.processor(),
        "threads": threads,
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numba": numba.__version__,
        "scikit_image": skimage.__version__,
    }


def measure(filters: int, channels: int, pairs: int, rounds: int, threads: int, plain_too: bool) -> dict[str, object]:
    weight = torch.randn(filters, channels, 3, 3, generator=torch.Generator().manual_seed(0)) * 0.02
    images, data_range = flatten(weight).numpy(), Filters(weight).data_range
    chosen = np.random.default_rng(0).choice(filters * (filters - 1) // 2, pairs, replace=False)
    rows, columns = (part[chosen] for part in np.triu_indices(filters, 1))

    def peer(at: int) -> float:
        x, y = images[rows[at]], images[columns[at]]
        return float(structural_similarity(x, y, win_size=3, data_range=data_range))

    def peers(workers: int) -> None:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(peer, range(pairs)))

    tiny = weight[:8, :4]
    first = seconds(lambda: pairwise(tiny, compiled=True))[0] - seconds(lambda: pairwise(tiny, compiled=True))[0]
    arms: dict[str, Callable[[], object]] = {
        "compiled": lambda: pairwise(weight, compiled=True),
        "scikit_image_sample": lambda: [peer(at) for at in range(pairs)],
        "scikit_image_sample_threads": lambda: peers(threads),
    }
    expected = np.array([peer(at) for at in range(pairs)])
    if plain_too:
        arms["torch"] = lambda: pairwise(weight, compiled=False)
    own = [name for name in ("compiled", "torch") if name in arms]
    errors = {
        name: float(np.abs(pairwise(weight, compiled=name == "compiled").numpy()[rows, columns] - expected).max())
        for name in own
    }
    order, times, work = random.Random(0), {name: [] for name in arms}, {name: [] for name in arms}
    for at in range(rounds):
        for name in order.sample(list(arms), len(arms)):
            if name != "torch" or at < TORCH_ROUNDS:
                by_clock, of_processors = seconds(arms[name])
                times[name].append(by_clock)
                work[name].append(of_processors)
    scale = filters * (filters - 1) / 2 / pairs
    peers_best = [
        scale * min(one, many)
        for one, many in zip(times["scikit_image_sample"], times["scikit_image_sample_threads"], strict=True)
    ]
    ratios = {name: spread([peer / ours for peer, ours in zip(peers_best, times[name], strict=False)]) for name in own}
    return {
        "seconds": {name: spread(values) for name, values in times.items()},
        "scikit_image_matrix_seconds_scaled": spread(peers_best),
        "pairs_scaled_by": round(scale, 2),
        "times_faster_than_scikit_image": ratios,
        "times_less_processor_time_than_scikit_image": spread(
            [scale * peer / ours for peer, ours in zip(work["scikit_image_sample"], work["compiled"], strict=True)]
        ),
        "limits": {"compiled": 60, "stretch": 120, "error": 1e-5},
        "within": {
            "compiled": ratios["compiled"]["median"] >= 60,
            "stretch": ratios["compiled"]["median"] >= 120,
            "error": max(errors.values()) <= 1e-5,
        },
        "largest_error": errors,
        "compilation_seconds": round(first, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--filters", type=int, default=512)
    parser.add_argument("--channels", type=int, default=512)
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-o", "--out", type=Path, default=HERE / "results" / "ssim.json")
    parser.add_argument("--plain", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    about = machine(given.threads)
    settings = {"filters": given.filters, "channels": given.channels, "pairs": given.pairs, "rounds": given.rounds}
    found: dict[str, object] = {"command": "python benchmarks/ssim.py", "settings": settings, "machine": about}
    found |= measure(**settings, threads=given.threads, plain_too=given.plain)
    write_json(given.out, found)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
