"""What the training loop costs over a bare PyTorch loop with the same batches: LeNet-5, batch 128.

    python benchmarks/train_overhead.py

Steps alternate: one of ours, one of the bare loop, one of a second bare loop as the control of the measurement against
itself. A step is whatever lies between two batches: fetching the batch, forward, backward, optimizer, and for ours all
that the loop does besides. The first step of an epoch is left out, because validation lies before it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from common import machine, quartiles, write_result
from torch import nn

from nervure import nets, train
from nervure.data import from_arrays, permutation
from nervure.train import Progress, Recipe

BATCH, SAMPLES, EPOCHS = 128, 128 * 60, 8


def bare_loop(net: nn.Module, x: torch.Tensor, y: torch.Tensor, seed: int) -> Callable[[], None]:
    """A function that does one step of a plain loop each time it is called."""
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    net.train()

    def steps():  # type: ignore[no-untyped-def]
        epoch = 0
        while True:
            order = torch.from_numpy(permutation(len(x), seed, epoch))
            for start in range(0, len(x), BATCH):
                at = order[start : start + BATCH]
                optimizer.zero_grad(set_to_none=True)
                loss = nn.functional.cross_entropy(net(x[at]), y[at])
                loss.backward()
                optimizer.step()
                loss.item()
                yield
            epoch += 1

    return steps().__next__


def main() -> None:
    """Alternate the three loops and write the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "train_overhead.json")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    generator = np.random.default_rng(0)
    x = generator.integers(0, 256, (SAMPLES + 256, 1, 28, 28)).astype(np.uint8)
    y = generator.integers(0, 10, len(x))
    splits = {"train": np.arange(SAMPLES), "validation": np.arange(SAMPLES, len(x))}
    ds = from_arrays(x, y, splits=splits, names=[str(digit) for digit in range(10)])
    batch = ds.batch(ds.splits["train"])
    assert batch.y is not None
    bare = [bare_loop(nets.build("lenet5", ds), batch.x, batch.y, 0) for _ in range(2)]
    times: dict[str, list[float]] = {"ours": [], "bare": [], "control": []}
    left = time.perf_counter()

    def between(where: Progress) -> None:
        nonlocal left
        arrived = time.perf_counter()
        if where.row is None:
            laps = [arrived - left]
            for step in bare:
                started = time.perf_counter()
                step()
                laps.append(time.perf_counter() - started)
            if where.step > 1:
                for name, lap in zip(times, laps, strict=True):
                    times[name].append(lap)
        left = time.perf_counter()

    recipe = Recipe(epochs=EPOCHS, batch=BATCH, keep="last")
    train.fit(nets.build("lenet5", ds), ds, recipe, device="cpu", progress=between)
    kept = {name: values[30:] for name, values in times.items()}  # the first steps warm caches
    ratios = [ours / theirs for ours, theirs in zip(kept["ours"], kept["bare"], strict=True)]
    control = [ours / theirs for ours, theirs in zip(kept["control"], kept["bare"], strict=True)]
    medians = {name: statistics.median(values) for name, values in kept.items()}
    result = {
        "claim": "training costs at most 5 % over a bare loop",
        "network": "lenet5, 1x28x28",
        "batch": BATCH,
        "steps": len(ratios),
        "ratio_of_medians": medians["ours"] / medians["bare"],
        "control_ratio_of_medians": medians["control"] / medians["bare"],
        "paired_ratio": quartiles(ratios),
        "control_paired_ratio": quartiles(control),
        "step_ms": {name: quartiles([1e3 * value for value in values]) for name, values in kept.items()},
        "machine": machine(given.threads),
    }
    write_result(given.out, result)


if __name__ == "__main__":
    main()
