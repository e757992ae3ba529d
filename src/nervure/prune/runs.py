"""A pruned network as a run: measured before and after, with its plan beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from torch import nn

from nervure.data.dataset import Dataset
from nervure.errors import InputError
from nervure.evidence import Table
from nervure.prune.plan import Plan
from nervure.prune.recover import Repair, figure
from nervure.store import Action, Run, folder
from nervure.train.evaluate import evaluate

__all__ = ["check_asked", "pruned_run", "save_pruned", "settings", "told"]


def pruned_run(
    run: Run,
    ds: Dataset,
    plan: Plan,
    small: nn.Module,
    mended: nn.Module | None = None,
    *,
    methods: Sequence[str] = (),
    options: Mapping[str, object] | None = None,
    seed: int | None = None,
    repairs: Sequence[Repair] = (),
    asked: Mapping[str, object] | None = None,
    device: str = "auto",
    command: str = "",
) -> Run:
    """The run of ``small``, which ``plan`` made of ``run.net``: measured on the test split, or what there is.

    Its evidence holds the plan's figures and a table of the measures before and after; with ``mended``, the network
    that ``methods`` of recovery made of ``small``, with their ``options`` and their ``seed`` if it is not the plan's,
    the run is of that one, and the table tells all three. The lineage keeps what was ``asked``, by the names of
    :func:`settings`, as far as it is not what the plan says, so that :func:`check_asked` can tell another request.

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
    known = settings(plan)
    further = {name: value for name, value in (asked or {}).items() if known.get(name) != value}
    what = {**known, "asked": further} if further else known
    lineage = [*run.lineage, Action("prune", what, plan.judging.seed, command)]
    if mended is not None:
        how = {"methods": list(methods), "options": dict(options or {})}
        lineage.append(Action("recover", how, plan.judging.seed if seed is None else seed))
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
        title=f"Before and after pruning, on {len(ds.indices(split)):,} samples",
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


def check_asked(run: Run, action: Action, asked: Mapping[str, object], fingerprint: str) -> None:
    """Refuse to take a finished run for what is asked, if it is of other data or its ``action`` of another request.

    >>> import nervure as nv
    >>> ds = nv.data.load("digits")
    >>> run = nv.store.Run.of(nv.nets.build("lenet5", ds), ds)
    >>> run.path = Path("runs/small")
    >>> done = Action("prune", {"samples": 100, "asked": {"samples": 1000}})
    >>> check_asked(run, done, {"samples": 500}, ds.fingerprint)
    Traceback (most recent call last):
    nervure.errors.InputError: runs/small was made with other settings: samples: 1000 is not 500; give --overwrite ...
    """
    if run.fingerprint != fingerprint:
        raise InputError(f"{run.path} was made on other data (the fingerprints differ); give --overwrite to replace it")
    was: dict[str, object] = {**action.settings, **cast("Mapping[str, object]", action.settings.get("asked", {}))}
    now = json.loads(json.dumps(asked))
    if differences := [f"{name}: {was.get(name)} is not {now[name]}" for name in now if was.get(name) != now[name]]:
        raise InputError(
            f"{run.path} was made with other settings: {'; '.join(differences)}; give --overwrite to replace it"
        )


def told(plan: Plan, repairs: Sequence[Repair] = ()) -> dict[str, object]:
    """A plan and what the repair of its layers achieved, as plain data for machines.

    Of each layer: units and multiply-adds before and after, the units kept, what each criterion found (``scores`` are
    votes where it votes), and the relative error of its output as cut and after each repair; these two only in the
    process that planned and repaired. ``macs_nominal`` takes the share of its own units that stay for the share of its
    multiply-adds, as published tables do; ``macs_after`` is what the network costs.

    >>> import nervure as nv
    >>> net = nv.nets.build("mlp", in_shape=(4,), classes=2, widths=[8])
    >>> plan = nv.prune.plan(net, None, "l1", nv.prune.Target(keep=0.5))
    >>> [(row["macs_before"], row["macs_nominal"], row["macs_after"]) for row in told(plan)["layers"]]
    [(32, 16, 16), (16, 16, 8)]
    """
    layers: list[dict[str, object]] = [
        {
            "layer": row.layer,
            "before": row.places,
            "after": len(row.kept),
            "macs_before": row.macs_before,
            "macs_after": row.macs_after,
            "macs_nominal": round(row.macs_before * len(row.kept) / row.places),
            "why": row.why,
            "kept": list(row.kept),
            "judged": {name: by_layer[row.layer] for name, by_layer in plan.judged.items() if row.layer in by_layer},
            "repairs": [
                {"method": one.method, "error_as_cut": one.before, "error": one.after}
                for one in repairs
                if one.layer == row.layer
            ],
        }
        for row in plan.rows
    ]
    return {
        "params": [plan.params_before, plan.params_after],
        "macs": [plan.macs_before, plan.macs_after],
        "layers": layers,
        "latency_ms": None if plan.latency is None else [plan.latency.before_ms, plan.latency.after_ms],
        "trials": [trial.model_dump() for trial in plan.trials],
    }


def save_pruned(path: Path | str, run: Run, plan: Plan, *, overwrite: bool = False) -> Path:
    """Write a pruned run and its ``plan.json``; the record comes last, so the folder is whole or no run."""
    with folder.anew(path, run, overwrite=overwrite) as place:
        plan.save(place / "plan.json")
    return Path(path)
