"""What the SSIM k-means search of a whole VGG-16 takes, and what it finds.

    python benchmarks/ssim_search.py [--run FOLDER | --weights random] [--profile thesis] [--effort fast]
                                     [--minutes M] [--threads 2] [--cache FOLDER] [-o FILE]

The first twelve convolutions are searched (the last one and the dense layers stay whole). Weights are those of
a run, or random ones of the same shapes. Stopped work goes on from the cache folder, one file a layer; the seconds
of all sittings add up. Written: seconds a layer, clusterings, K by scenario with and beside the published lists, and
each layer's peak beside that of its shuffled weights.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from ssim import machine
from torch import Tensor, nn

from nervure.errors import InputError, InterruptedWork
from nervure.features.silhouette import KINDS
from nervure.nets import build
from nervure.prune.ssim.choose import PUBLISHED, choose
from nervure.prune.ssim.methods import SSIMKMeans
from nervure.prune.ssim.profiles import PROFILES, profile_of
from nervure.prune.ssim.search import LayerSearch, search
from nervure.store.atomic import write_json

HERE = Path(__file__).parent


def layers(run: Path | None) -> dict[str, Tensor]:
    if run is None:
        net = build("vgg16", in_shape=(3, 32, 32), classes=10, seed=0)
    else:
        from nervure import store

        net = store.load(run).net
    found = {name: m.weight.detach() for name, m in net.named_modules() if isinstance(m, nn.Conv2d)}
    return dict(list(found.items())[:-1])


def rows(name: str, found: LayerSearch) -> dict[str, object]:
    real = ~found.rows["null"]
    return {
        "layer": name,
        "units": found.n,
        "clusterings": int(real.sum()),
        "clusterings_of_shuffled_weights": int((~real).sum()),
        "rounds": {
            "median": float(np.median(found.rows["rounds"][real])),
            "largest": int(found.rows["rounds"][real].max()),
        },
        "stopped_by_cycle": int((found.rows["stop"] == 1).sum()),
        "peaks": {
            kind: {
                "k": found.natural(kind),
                "share": round(found.natural(kind) / found.n, 3),
                "score": round(float(found.table(kind).mean.max()), 4),
                "k_shuffled": found.table(kind, null=True).natural,
                "score_shuffled": round(float(found.table(kind, null=True).mean.max()), 4),
            }
            for kind in KINDS
        },
    }


def scenarios(found: dict[str, LayerSearch], kind: str) -> dict[str, object]:
    tables = {name: one.table(kind) for name, one in found.items()}  # type: ignore[arg-type]
    units = {name: one.n for name, one in found.items()}
    chosen: dict[str, object] = {}
    for scenario in ("A", "B", "C"):
        try:
            chosen[scenario] = list(choose(tables, units, scenario).values())  # type: ignore[arg-type]
        except InputError as error:
            chosen[scenario] = str(error)
    return {"found": chosen, "published": {key: list(value) for key, value in PUBLISHED.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--profile", choices=list(PROFILES), default="thesis")
    parser.add_argument("--effort", choices=["quick", "fast", "full"], default="fast")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=Path("runs/ssim_search"))
    parser.add_argument("-o", "--out", type=Path, default=HERE / "results" / "ssim_search.json")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    about = machine(given.threads)
    clock = given.cache / "seconds.json"
    spent: dict[str, float] = json.loads(clock.read_text()) if clock.exists() else {}
    begin = time.perf_counter()

    def told(name: str, done: int, count: int) -> None:
        nonlocal begin
        spent[name] = spent.get(name, 0.0) + time.perf_counter() - begin
        begin = time.perf_counter()
        write_json(clock, spent)
        print(f"{done}/{count} {name}: {spent[name]:.1f} s", flush=True)

    weights = layers(given.run)
    method = SSIMKMeans(profile_of(given.profile))
    try:
        found = search(
            weights, method, given.effort, seed=given.seed, folder=given.cache, minutes=given.minutes, progress=told
        )  # fmt: skip
    except InterruptedWork as stop:
        unfinished = next(name for name in weights if not _searched(given.cache, name, spent))
        spent[unfinished] = spent.get(unfinished, 0.0) + time.perf_counter() - begin
        write_json(clock, spent)
        raise SystemExit(str(stop)) from stop
    seconds = sum(spent[name] for name in weights)
    data: dict[str, object] = {
        "command": f"python benchmarks/ssim_search.py --profile {given.profile} --effort {given.effort}",
        "weights": "random" if given.run is None else "a trained run",
        "machine": about,
        "minutes": round(seconds / 60, 2),
        "limits": {"minutes_fast": 30},
        "within": {"minutes_fast": seconds <= 1800},
        "seconds": {name: round(spent[name], 1) for name in weights},
        "layers": [rows(name, one) for name, one in found.items()],
        "kept": scenarios(found, method.silhouette),
    }
    write_json(given.out, data)
    print(json.dumps(data, indent=2))


def _searched(folder: Path, name: str, spent: dict[str, float]) -> bool:
    return name in spent and (folder / f"{name}.npz").exists()


if __name__ == "__main__":
    main()
