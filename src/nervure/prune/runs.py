"""A pruned network as a run: measured before and after, with its plan beside it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from nervure.data.dataset import Dataset
from nervure.evidence import Table
from nervure.prune.plan import Plan
from nervure.prune.recover import Repair, figure
from nervure.store import Action, Run, folder
from nervure.train.evaluate import evaluate

__all__ = ["pruned_run", "save_pruned", "settings"]


def pruned_run(
    run: Run,
    ds: Dataset,
    plan: Plan,
    small: nn.Module,
    mended: nn.Module | None = None,
    *,
    methods: Sequence[str] = (),
    repairs: Sequence[Repair] = (),
    device: str = "auto",
    command: str = "",
) -> Run:
    """The run of ``small``, which ``plan`` made of ``run.net``: measured on the test split, or what there is.

    Its evidence holds the plan's figures and a table of the measures before and after; with ``mended``, the network
    that ``methods`` of recovery made of ``small``, the run is of that one, and the table tells all three.

    >>> import nervure as nv
    >>> ds = nv.data.load("digits")
    >>> run = nv.store.Run.of(nv.nets.build("lenet5", ds), ds)
    >>> plan = nv.prune.plan(run.net, ds, "l1", nv.prune.Target(macs=0.5))
    >>> done = pruned_run(run, ds, plan, plan.apply(run.net), device="cpu")
    >>> done.lineage[-1].name, done.metrics["macs"] == plan.macs_after
    ('prune', True)
    """
    split = next(name for name in ("test", "validation", "train") if name in ds.splits)
    stages = {"before": run.net, "as cut": small} | ({} if mended is None else {"recovered": mended})
    found = {stage: evaluate(net, ds, split=split, device=device) for stage, net in stages.items()}
    last = list(found.values())[-1]
    lineage = [*run.lineage, Action("prune", settings(plan), plan.judging.seed, command)]
    if mended is not None:
        lineage.append(Action("recover", {"methods": list(methods)}, plan.judging.seed))
    done = Run.of(small if mended is None else mended, ds, tuple(lineage))
    done.metrics, done.history = last.metrics, run.history
    rows: list[tuple[str | float, ...]] = [
        (name, *(one.metrics[name] for one in found.values()))
        for name in last.metrics
        if all(name in one.metrics for one in found.values())
    ]
    if plan.latency is not None:
        rows.append(("latency_ms", plan.latency.before_ms, *[plan.latency.after_ms] * (len(found) - 1)))
    measures = Table(
        title="Before and after pruning",
        alt=f"Measures of the split {split} before pruning, as cut, and as it is now.",
        columns=("measure", *found),
        rows=rows,
    )
    samples = {name: one for name, one in run.evidence.items() if name.startswith("data-")}
    done.evidence = {**samples, **last.evidence, **plan.evidence, "pruned": measures}
    if repairs:
        done.evidence["recovery"] = figure(repairs)
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
