"""What augmentation costs: whole batches against one image at a time, and its share of a training step.

    python benchmarks/augment.py

Both ways of augmenting alternate and give the same bytes. The step is that of the convolutional auto-encoder of
spec deepcluster, 2.1, with Adam and a batch of 100: forward, backward and optimizer, on the augmented batch. The
share of augmentation is its time over that of augmentation and step together, batch by batch.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from common import machine, quartiles, write_result

from nervure import nets
from nervure.data import Augmentation, Batch, Dataset, from_arrays

BATCH = 100
PLACE = {"rotate": 15, "scale": 0.25, "shift": 0.1}
COLOUR = {"crop": 0.125, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.125}
CASES = {
    "digits, 1x28x28": ((1, 28, 28), Augmentation(rotate=10, shift=2 / 28)),
    "copies of digits, 1x28x28": ((1, 28, 28), Augmentation(**PLACE)),
    "copies of colour pictures, 3x32x32": ((3, 32, 32), Augmentation(**PLACE, **COLOUR)),
    "everything, 3x32x32": ((3, 32, 32), Augmentation(**PLACE, **COLOUR, flip=0.5, turn=0.5, noise=0.05)),
}


def lap(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def one_at_a_time(ds: Dataset, change: Augmentation, batch: Batch, repeats: int) -> dict[str, object]:
    """Times of one call on the batch and of a call for each of its images, in turn."""
    settings = {"seed": 0, "epoch": 1, "preprocessing": ds.preprocessing}
    singles = [ds.batch([int(at)]) for at in batch.index]
    whole, parts = change(batch, **settings), [change(one, **settings) for one in singles]
    assert torch.equal(whole.x, torch.cat([one.x for one in parts]))
    times: dict[str, list[float]] = {"batch": [], "one at a time": []}
    for _ in range(repeats):
        times["batch"].append(lap(lambda: change(batch, **settings)))
        times["one at a time"].append(lap(lambda: [change(one, **settings) for one in singles]))
    ratios = [slow / fast for fast, slow in zip(*times.values(), strict=True)]
    return {
        "faster_times": quartiles(ratios),
        "ms": {name: quartiles([1e3 * t for t in ts]) for name, ts in times.items()},
    }


def share_of_a_step(ds: Dataset, change: Augmentation, batch: Batch, repeats: int) -> dict[str, object]:
    """Times of augmenting a batch and of a training step on it, in turn."""
    net = nets.build("conv-autoencoder", ds, seed=0)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def step(x: torch.Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        out = net(x)
        out = out if torch.is_tensor(out) else out[0]
        ((out - x) ** 2).flatten(1).sum(1).mean().backward()
        optimizer.step()

    times: dict[str, list[float]] = {"augmentation": [], "step": []}
    for epoch in range(repeats + 3):
        changed = change(batch, seed=0, epoch=epoch, preprocessing=ds.preprocessing)
        laps = (
            lap(lambda epoch=epoch: change(batch, seed=0, epoch=epoch, preprocessing=ds.preprocessing)),
            lap(lambda changed=changed: step(changed.x)),
        )
        if epoch >= 3:  # the first ones warm caches
            for name, one in zip(times, laps, strict=True):
                times[name].append(one)
    shares = [change_ / (change_ + step_) for change_, step_ in zip(*times.values(), strict=True)]
    return {"share": quartiles(shares), "ms": {name: quartiles([1e3 * t for t in ts]) for name, ts in times.items()}}


def main() -> None:
    """Measure every case and write the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "augment.json")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    found = {}
    for name, (shape, change) in CASES.items():
        x = np.random.default_rng(0).integers(0, 256, (BATCH, *shape), dtype=np.uint8)
        ds = from_arrays(x, standardize="each-min-max", validation=0, test=0)
        batch = ds.batch(ds.splits["train"])
        found[name] = {
            "augmentation": change.to_json(),
            "against_one_at_a_time": one_at_a_time(ds, change, batch, given.repeats),
            "of_a_training_step": share_of_a_step(ds, change, batch, given.repeats),
        }
    faster = min(one["against_one_at_a_time"]["faster_times"]["median"] for one in found.values())
    share = max(one["of_a_training_step"]["share"]["median"] for one in found.values())
    result = {
        "claim": "augmentation is at least five times faster than one image at a time, and at most 20 % of a step",
        "network": "conv-autoencoder, batch 100, Adam",
        "least_faster_times": faster,
        "largest_share": share,
        "holds": faster >= 5 and share <= 0.2,
        "cases": found,
        "machine": machine(given.threads),
    }
    write_result(given.out, result)


if __name__ == "__main__":
    main()
