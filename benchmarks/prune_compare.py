"""Criteria beside random, L1 and Torch-Pruning's group norm: paired tests over the seeds of one study.

    python benchmarks/prune_compare.py DATA_DIR [--study prune-compare-fashion-mnist] [--profile cpu] [--results DIR]

Trials that the results lack are made first. The rival prunes the same trained networks to the same share of each layer
by the group norm of Torch-Pruning with its defaults, and is recovered on the same samples. A difference is ours minus
the control's, in points of test accuracy after recovery, with Student's p of the paired differences, and none where
they do not differ. With few seeds only large differences can be told from chance, and with many criteria some p are
small by chance: see ``compared``.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
from pathlib import Path

import torch
import torch_pruning
from common import machine, write_result
from torch import nn

from nervure import study
from nervure.data import Dataset
from nervure.prune.recover import recover
from nervure.store import Run
from nervure.study.asked import accuracy, measured_on
from nervure.study.base import base_of
from nervure.study.prune_trial import CriteriaSettings
from nervure.study.statistics import Paired, paired
from nervure.study.trials import Job

CONTROLS = ("random", "l1", "group-norm")


def rival(run: Run, ds: Dataset, keep: float) -> nn.Module:
    """The network cut by Torch-Pruning's group norm, each layer but the last to the same share."""
    net = copy.deepcopy(run.net).eval()
    last = [one for one in net.modules() if isinstance(one, nn.Linear)][-1]
    torch_pruning.pruner.BasePruner(
        net,
        ds.batch(ds.indices("train")[:2]).x,
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=1 - keep,
        ignored_layers=[last],
    ).step()
    return net


def rivals(job: Job) -> tuple[float, float]:
    """Accuracy of the rival as cut and after recovery, in per cent."""
    settings = CriteriaSettings.read(job.settings)
    run, ds = base_of(job, settings.run, settings.base)
    ds = measured_on(dataclasses.replace(ds, preprocessing=run.preprocessing), settings.test_samples)
    small = rival(run, ds, settings.target["keep"])
    cut = accuracy(small, ds, device=job.device)
    small = recover(
        small, run.net, ds, method=settings.recover, samples=settings.recover_samples, seed=job.seed,
    )  # fmt: skip
    return 100 * cut, 100 * accuracy(small, ds, device=job.device)


def told(test: Paired) -> dict[str, float | None]:
    """A difference and its p; without spread, as of equal differences, no test says anything."""
    return {"points": test.difference, "p": test.p_t if test.sd else None}


def main() -> None:
    """Gather the study, add the rival, and test."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--study", default="prune-compare-fashion-mnist")
    parser.add_argument("--profile", default="cpu")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--cache", type=Path, help="where the trained networks are kept [default: RESULTS/cache]")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    chosen = study.load(given.study)
    results = study.run(chosen, given.profile, given.results, data_dir=given.data_dir, threads=given.threads)
    names = list(CriteriaSettings.read(chosen.trial_settings("base", given.profile)).criteria)
    stages = ("pruned", "recovered")
    found = {stage: {name: results.values("base", f"accuracy_{stage} {name}") for name in names} for stage in stages}
    for trial in results.trials:
        cache = str(given.cache or given.results / "cache")
        job = Job(
            chosen.data.source, dict(chosen.data.options), trial.settings, trial.seed, str(given.data_dir), "cpu", cache
        )
        for stage, value in zip(stages, rivals(job), strict=True):
            found[stage].setdefault("group-norm", {})[trial.seed] = value
    rows = {}
    for name, values in found["recovered"].items():
        seeds = sorted(values)
        mine = [values[seed] for seed in seeds]
        tests = {
            control: paired(mine, [found["recovered"][control][seed] for seed in seeds])
            for control in CONTROLS
            if control != name
        }
        cut = [found["pruned"][name][seed] for seed in seeds]
        rows[name] = {
            "as_cut": round(sum(cut) / len(cut), 2),
            "recovered": round(sum(mine) / len(mine), 2),
            "by_seed": [round(one, 2) for one in mine],
            "against": {control: told(one) for control, one in tests.items()},
        }
    tested = [(name, one["against"]["random"]) for name, one in rows.items() if name != "random"]  # type: ignore[index]
    better = [name for name, one in tested if one["points"] > 0 and one["p"] is not None and one["p"] < 0.05]
    worse = [name for name, one in tested if one["points"] < 0 and one["p"] is not None and one["p"] < 0.05]
    write_result(
        given.results / f"prune_compare.{given.study.removeprefix('prune-compare-')}.json",
        {
            "claim": "which criteria keep more accuracy than random, L1 and Torch-Pruning's group norm",
            "of_study": given.study,
            "profile": given.profile,
            "seeds": len(results.trials),
            "base": sum(results.values("base", "accuracy_base").values()) / len(results.trials),
            "criteria": rows,
            "compared": len(tested),
            "better_than_random_at_0.05": better,
            "worse_than_random_at_0.05": worse,
            "machine": machine(given.threads),
        },
    )


if __name__ == "__main__":
    main()
