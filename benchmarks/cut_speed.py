"""Whether a cut network is as much faster as it has fewer multiply-adds: VGG-16 in ONNX Runtime, batch 32, one thread.

    python benchmarks/cut_speed.py [--runs 30] [--batch 32] [--threads 1] [-o FILE]

VGG-16 on CIFAR shapes with random weights is cut by L1 to a half and a quarter of its multiply-adds, with widths
rounded to multiples of 8, and once more with each of these widths made odd by one filter less. The networks take
turns; a speed-up is the median over rounds of the uncut network's time by the cut one's in the same round, and
``of_its_ratio`` is that speed-up by the ratio of multiply-adds. The uncut network takes part twice, as the control of
the clock.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from common import machine, quartiles, write_result
from torch import nn

from nervure import nets, prune
from nervure.data import Preprocessing
from nervure.export.deployed import Deployed
from nervure.export.formats import Job
from nervure.export.latency import measure
from nervure.export.onnx_file import dump, session

SHAPE = (3, 32, 32)
SHARES = (0.5, 0.25)
LIMIT = 0.85


def cut(net: nn.Module, share: float) -> dict[str, nn.Module]:
    """The network at a share of its multiply-adds, with widths of multiples of 8, and with odd ones."""
    example = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0))
    plan = prune.plan(net, None, "l1", prune.Target(macs=share), round_to=8, example=example)
    widths = {layer: after for layer, (before, after) in plan.widths.items() if layer in plan.kept}
    odd = prune.Target(keep={layer: units - 1 for layer, units in widths.items()})
    return {
        "rounded": plan.apply(net, example),
        "odd": prune.plan(net, None, "l1", odd, example=example).apply(net, example),
    }


def main() -> None:
    """Take turns, and write the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--out", type=Path, default=Path(__file__).parent / "results" / "cut_speed.json")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    base = nets.build("vgg16", in_shape=SHAPE, classes=10, seed=0)
    found = {f"{how} {share:g}": net for share in SHARES for how, net in cut(base, share).items()}
    x = torch.rand(given.batch, *SHAPE, generator=torch.Generator().manual_seed(1)).numpy()
    calls = {}
    for name, net in {"uncut": base, "control": base, **found}.items():
        opened = session(dump(Job(Deployed(net, Preprocessing()).eval(), SHAPE, False, ("logits",), {})), given.threads)
        calls[name] = lambda opened=opened: opened.run(None, {"x": x})
    timings = measure(calls, given.runs, warmup=3)
    before = nets.count(base, SHAPE).macs
    rows = {}
    for name, net in {"control": base, **found}.items():
        macs = nets.count(net, SHAPE).macs
        speedup = 1 / timings[name].ratio(timings["uncut"])
        widths = [one.out_channels for one in net.modules() if isinstance(one, nn.Conv2d)]
        ratio = before / macs
        rows[name] = {
            "macs": macs, "ratio_of_macs": ratio, "speedup": speedup, "of_its_ratio": speedup / ratio, "widths": widths,
        }  # fmt: skip
    write_result(
        given.out,
        {
            "claim": f"a cut network's speed-up reaches {LIMIT} of its ratio of multiply-adds, widths rounded to 8",
            "network": "vgg16, 3x32x32, random weights",
            "engine": "onnxruntime",
            "batch": given.batch,
            "runs": given.runs,
            "networks": rows,
            "within": {f"rounded {share:g}": rows[f"rounded {share:g}"]["of_its_ratio"] >= LIMIT for share in SHARES},
            "milliseconds": {name: quartiles([1e3 * one for one in made.seconds]) for name, made in timings.items()},
            "machine": machine(given.threads),
        },
    )


if __name__ == "__main__":
    main()
