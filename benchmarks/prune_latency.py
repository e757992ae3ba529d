"""Whether a plan's measured ratio of latencies is met when the networks are measured again.

    python benchmarks/prune_latency.py [--again 5] [--threads 1] [-o FILE]

Three networks with random weights are planned to half of their measured latency by L1. The plan is applied, and the
two networks take turns anew, several times; ``ratio`` is the median duration after the cut by that before it, in the
plan and in each repetition, and ``apart`` how far the repetitions' median lies from the plan's, as a share of it. The
claim is about this ratio; ``apart_ms`` is the same of the milliseconds after the cut alone.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import torch
from common import machine, write_result

from nervure import nets, prune
from nervure.export.latency import compare_latency

NETWORKS = {"vgg16": (3, 32, 32), "resnet20": (3, 32, 32), "small-cnn": (1, 28, 28)}
BATCH = 32
LIMIT = 0.1


def measure(name: str, shape: tuple[int, ...], again: int, threads: int) -> dict[str, Any]:
    """Plan, apply, and measure again."""
    net = nets.build(name, in_shape=shape, classes=10, seed=0)
    example = torch.randn(BATCH, *shape, generator=torch.Generator().manual_seed(1))
    target = prune.Target(latency=0.5, batch=BATCH, threads=threads)
    plan = prune.plan(net, None, "l1", target, example=example)
    assert plan.latency is not None
    planned = plan.latency.after_ms / plan.latency.before_ms
    both = {"before": net, "after": plan.apply(net, example)}
    ratios, after = [], []
    for _ in range(again):
        timed = compare_latency(both, example, batch=BATCH, threads=threads)
        ratios.append(timed["after"].median / timed["before"].median)
        after.append(1e3 * timed["after"].median)
    ratio = statistics.median(ratios)
    return {
        "planned": {"ratio": planned, "after_ms": plan.latency.after_ms, "before_ms": plan.latency.before_ms},
        "again": {"ratio": ratio, "ratios": ratios, "after_ms": after},
        "macs": plan.macs_after / plan.macs_before,
        "apart": abs(ratio / planned - 1),
        "apart_ms": abs(statistics.median(after) / plan.latency.after_ms - 1),
    }


def main() -> None:
    """Measure each network, and write how far apart the durations are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--again", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--out", type=Path, default=Path(__file__).parent / "results" / "prune_latency.json")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    about = machine(given.threads)
    found = {name: measure(name, shape, given.again, given.threads) for name, shape in NETWORKS.items()}
    write_result(
        given.out,
        {
            "claim": f"measured again, a plan's ratio of latencies, cut to uncut, is met within {LIMIT:.0%}",
            "batch": BATCH,
            "limit": LIMIT,
            "networks": found,
            "within": {name: one["apart"] <= LIMIT for name, one in found.items()},
            "within_ms": {name: one["apart_ms"] <= LIMIT for name, one in found.items()},
            "machine": about,
        },
    )


if __name__ == "__main__":
    main()
