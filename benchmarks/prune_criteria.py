"""What judging costs: every layer of VGG-16 by all forward-only criteria together, beside a plain pass.

    python benchmarks/prune_criteria.py [--images 1024] [--batch 64] [--rounds 3] [--threads 2] [-o FILE]

VGG-16 on CIFAR shapes with random weights and images (the same for all; batch norm also behind the dense layer, so
that every criterion applies); judged are all layers whose units can be cut. A round times, in shuffled order: a plain
pass, the same again (the control), all criteria in one pass with compiled kernels and in plain torch, each criterion by
itself, and the second pass of the overlap criteria at full input resolution. A ratio is taken within its round, of wall
time and of processor time; medians over rounds are reported with quartiles. The first call of each, which compiles, is
left out. HRank and the sampled contributions of ThiNet and channel LASSO are measured apart, once.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from common import machine
from torch import nn

from nervure import nets, prune
from nervure.data import Batch
from nervure.features.masks import Otsu
from nervure.judge import Criterion, Layer, judge
from nervure.observe import Quantile, Site, Statistic, collect, summary
from nervure.prune.criteria import criteria
from nervure.prune.criteria.overlap import Masks, Overlap
from nervure.store.atomic import write_json

HERE = Path(__file__).parent
OBSERVING = (
    "majority-vote", "mean-activation", "standard-deviation", "activation-l1", "activation-l2", "entropy", "apoz",
    "nisp",
)  # fmt: skip
WEIGHTS = ("random", "l1", "l2", "weight-sum", "fpgm", "batch-norm-scale")
LIMITS = {"together_compiled": 1.3, "together_torch": 2.0, "overlap_pass": 1.6, "one_pass_each_over_one_pass": 3.0}


def made(*names: str) -> dict[str, Criterion]:
    return {name: criteria.get(name)() for name in names}


def overlaps(layers: tuple[Layer, ...], found: dict[str, torch.Tensor]) -> dict[Site, list[Statistic]]:
    masks = Masks(Otsu())
    return {layer.seen: [Overlap(masks, found[layer.name])] for layer in layers if isinstance(layer.module, nn.Conv2d)}


def thresholds(net: nn.Module, batches: list[Batch], layers: tuple[Layer, ...]) -> dict[str, torch.Tensor]:
    quantile = Quantile(0.8)
    found = collect(net, batches, {layer.seen: [quantile] for layer in layers})
    return {layer.name: found[layer.seen][quantile.key].result().values[:, 0].contiguous() for layer in layers}


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """By the clock on the wall, and of all threads' work: the latter tells more while others use the machine."""
    wall, work_done = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - work_done


def spread(values: list[float]) -> dict[str, float]:
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    found = {"median": middle, "lower_quartile": low, "upper_quartile": high, "minimum": min(values)}
    return {name: round(float(value), 4) for name, value in {**found, "maximum": max(values)}.items()}


def measure(images: int, batch: int, rounds: int) -> dict[str, object]:
    net = nets.build("vgg16", in_shape=(3, 32, 32), classes=10, head_norm=True).eval()
    x = torch.rand(images, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    batches = [Batch(x[at], None, at) for at in torch.arange(images).split(batch)]
    layers = prune.layers(net, x[:2])
    levels = thresholds(net, batches, layers)

    def plain() -> None:
        with torch.inference_mode():
            for part in batches:
                net(part.x)

    def judged(*names: str) -> Callable[[], object]:
        return lambda: judge(net, batches, made(*names), layers=layers)

    def in_torch() -> None:
        with mock.patch.object(summary, "_numba_installed", return_value=False):
            judged(*OBSERVING, *WEIGHTS)()

    arms: dict[str, Callable[[], object]] = {
        "plain": plain,
        "control": plain,
        "together_compiled": judged(*OBSERVING, *WEIGHTS),
        "together_torch": in_torch,
        "overlap_pass": lambda: collect(net, batches, overlaps(layers, levels)),
        **{f"alone: {name}": judged(name) for name in OBSERVING},
        "alone: all of the weights": judged(*WEIGHTS),
    }
    both = timed(arms, rounds)
    return {
        "layers": len(layers),
        "units": sum(layer.units for layer in layers),
        "criteria_together": [*OBSERVING, *WEIGHTS],
        "wall": compared({name: [wall for wall, _ in values] for name, values in both.items()}),
        "processor": compared({name: [work for _, work in values] for name, values in both.items()}),
        "limits": LIMITS,
        "apart_seconds_for_one_batch": apart(net, batches[:1], layers),
    }


def compared(times: dict[str, list[float]]) -> dict[str, object]:
    """Seconds of each arm, their ratios to the plain pass within rounds, and which limits the medians keep."""
    ratios = {
        name: [t / base for t, base in zip(values, times["plain"], strict=True)] for name, values in times.items()
    }
    alone = [name for name in times if name.startswith("alone")]
    sums = [sum(parts) for parts in zip(*(times[name] for name in alone), strict=True)]
    gain = [total / one for total, one in zip(sums, times["together_compiled"], strict=True)]
    medians = {name: spread(values)["median"] for name, values in ratios.items()}
    return {
        "seconds": {name: spread(values) for name, values in times.items()},
        "ratio_to_plain_forward": {name: spread(values) for name, values in ratios.items() if name != "plain"},
        "one_pass_each_over_one_pass": spread(gain),
        "within": {
            **{name: medians[name] <= limit for name, limit in LIMITS.items() if name in medians},
            "one_pass_each_over_one_pass": spread(gain)["median"] >= LIMITS["one_pass_each_over_one_pass"],
        },
    }


def timed(arms: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[tuple[float, float]]]:
    order, threads = random.Random(0), torch.get_num_threads()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in arms}
    for work in arms.values():
        work()
    for _ in range(rounds):
        for name in order.sample(list(arms), len(arms)):
            # A compiled kernel may have changed the number of threads that torch uses.
            torch.set_num_threads(threads)
            times[name].append(seconds(arms[name]))
    return times


def apart(net: nn.Module, batches: list[Batch], layers: tuple[Layer, ...]) -> dict[str, float]:
    """Seconds for one batch and all layers, by the criteria that the limits leave out."""
    names = ("hrank", "thinet", "channel-lasso")
    return {
        name: round(seconds(lambda name=name: judge(net, batches, made(name), layers=layers))[0], 2) for name in names
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-o", "--out", type=Path, default=HERE / "results" / "prune_criteria.json")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    about = machine(given.threads)
    settings = {"images": given.images, "batch": given.batch, "rounds": given.rounds}
    found = {"command": "python benchmarks/prune_criteria.py", "settings": settings, "machine": about}
    found |= measure(**settings)
    write_json(given.out, found)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
