"""A pruned network as a run: measured before and after, with its plan beside it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from torch import nn

from nervure.data.dataset import Dataset
from nervure.evidence import Table
from nervure.prune.plan import Plan
from nervure.store import Action, Run, folder
from nervure.train.evaluate import evaluate

__all__ = ["pruned_run", "save_pruned", "settings"]


def pruned_run(run: Run, ds: Dataset, plan: Plan, small: nn.Module, *, device: str = "auto", command: str = "") -> Run:
    """The run of ``small``, which ``plan`` made of ``run.net``: measured on the test split, or what there is.

    Its evidence holds the plan's figures and a table of the measures before and after.

    >>> import nervure as nv
    >>> ds = nv.data.load("digits")
    >>> run = nv.store.Run.of(nv.nets.build("lenet5", ds), ds)
    >>> plan = nv.prune.plan(run.net, ds, "l1", nv.prune.Target(macs=0.5))
    >>> done = pruned_run(run, ds, plan, plan.apply(run.net), device="cpu")
    >>> done.lineage[-1].name, done.metrics["macs"] == plan.macs_after
    ('prune', True)
    """
    split = next(name for name in ("test", "validation", "train") if name in ds.splits)
    before = evaluate(run.net, ds, split=split, device=device)
    after = evaluate(small, ds, split=split, device=device)
    done = Run.of(small, ds, (*run.lineage, Action("prune", settings(plan), plan.judging.seed, command)))
    done.metrics = after.metrics
    rows = [(name, before.metrics[name], value) for name, value in after.metrics.items() if name in before.metrics]
    if plan.latency is not None:
        rows.append(("latency_ms", plan.latency.before_ms, plan.latency.after_ms))
    figure = Table(
        title="Before and after pruning",
        alt=f"Measures of the split {split} before and after pruning.",
        columns=("measure", "before", "after"),
        rows=rows,
    )
    done.evidence = {**after.evidence, **plan.evidence, "pruned": figure}
    return done


def settings(plan: Plan) -> Mapping[str, object]:
    """What a lineage keeps of a plan; the rest is in plan.json."""
    return {
        "criteria": list(plan.judging.names),
        "settings": [dict(one) for one in plan.judging.settings],
        "combine": plan.judging.combine,
        "samples": plan.judging.samples,
        "target": plan.target.model_dump(exclude_defaults=True),
        "ranking": plan.ranking,
        "rounding": plan.rounding,
        "round_to": plan.round_to,
        "shortcuts": plan.shortcuts,
        "exclude": list(plan.exclude),
    }


def save_pruned(path: Path | str, run: Run, plan: Plan, *, overwrite: bool = False) -> Path:
    """Write a pruned run and its ``plan.json``; the record comes last, so the folder is whole or no run."""
    path = folder.claim(path, overwrite=overwrite)
    fresh = not path.exists()
    if not fresh:
        folder.discard(path)
    try:
        plan.save(path / "plan.json")
        return folder.write(path, run)
    except BaseException:
        if fresh and path.exists():
            shutil.rmtree(path, ignore_errors=True)
        raise
