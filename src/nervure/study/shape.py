"""shape: the whole way in one go, from data to a smaller network that is measured, explained and deployed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from nervure import nets, prune, store, train
from nervure.data import Dataset
from nervure.errors import InputError, InterruptedWork
from nervure.evidence import Figure, Table
from nervure.export.formats import extra
from nervure.nets.origin import origin_of
from nervure.prune.recover import Repair, check, recover, theirs
from nervure.prune.runs import check_asked, pruned_run
from nervure.store import Action, Run, folder
from nervure.study.deploy import deploy
from nervure.train import Progress, Recipe, evaluate
from nervure.train.checkpoint import check_network

__all__ = ["CANDIDATES", "CONTROL", "DRAWS", "beats", "default_recipe", "shape"]

CANDIDATES = ("l1", "fpgm", "majority-vote")
CONTROL, DRAWS = "random", 3
"""Criteria that are tried, and the control that is drawn several times beside them: the page says if nothing beats it.

The best of three criteria beats the best of three draws half of the time by luck alone, so that is not enough:
see :func:`beats`.
"""

_STEPS = 1500  # enough for the default networks on small data; large data gets fewer epochs
_REPAIR = ("kernel-estimation", "batch-norm")
_TUNE = "fine-tune"


def default_recipe(ds: Dataset, **values: object) -> Recipe:
    """A recipe of about 1,500 steps, from 5 to 60 epochs, with the rate falling to zero; ``values`` win.

    >>> import nervure as nv
    >>> default_recipe(nv.data.load("digits")).epochs
    60
    """
    batch = 64
    steps = max(1, -(-len(ds.splits.get("train", ())) // batch))
    epochs = min(60, max(5, -(-_STEPS // steps)))
    monitor = "accuracy" if ds.task == "classification" else "loss"
    chosen = {"batch": batch, "epochs": epochs, "schedule": "cosine", "monitor": monitor}
    return Recipe.of({**chosen, **values})


@dataclass(frozen=True, eq=False)
class _Cut:
    """One criterion's way to the target: its plan, the recovered network, and how good that is on validation."""

    criterion: str
    draw: int
    plan: prune.Plan
    cut: nn.Module
    net: nn.Module
    as_cut: float
    repaired: float
    repairs: tuple[Repair, ...]


def shape(
    ds: Dataset,
    out: Path | str,
    *,
    net: str | None = None,
    recipe: Recipe | None = None,
    macs: float = 0.5,
    formats: tuple[str, ...] = ("onnx", "pt2"),
    recover_options: Mapping[str, object] | None = None,
    threads: int = 1,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    build: str | Callable[..., nn.Module] | None = None,
    command: str = "",
    progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Run:
    """Train a network for the data, cut it by the criterion that serves it best, repair it, and deploy it.

    Several criteria cut the trained network to the same size, each cut is recovered by kernel estimation, and the best
    on the validation split (on training samples, if there is none) is trained on for a while. Random selection, drawn
    several times, is held beside them. The test split is read once, at the end.

    Parameters
    ----------
    ds : Dataset
        The data.
    out : path
        The run's folder; the uncut network's run is ``out/base``, exported files go to ``out/exports``.
    net : str, optional
        A network's name; by the data otherwise.
    recipe : Recipe, optional
        How to train; :func:`default_recipe` otherwise.
    macs : float
        Share of multiply-adds that may remain; 1 cuts nothing.
    formats : tuple of str
        What to export.
    recover_options : mapping, optional
        Settings of the repair and of the training that follows it, as :func:`nervure.prune.recover.recover` takes them.
    resume, overwrite, build, command, progress, stop
        As in :func:`nervure.train.fit`; of a finished run of the same request, what was not deployed is.
    tell : callable
        Given a line at each stage.

    Returns
    -------
    Run
        The smaller network's run, with its plan, what was tried, and measured latency.
    """
    out = folder.claim(out, resume=resume, overwrite=overwrite)
    mending = {"distillation": 0.5 if ds.task == "classification" else 0.0, **(recover_options or {})}
    check((*_REPAIR, _TUNE), **mending)  # type: ignore[arg-type]
    name, recipe = net or nets.default_for(ds), recipe or default_recipe(ds)
    module = nets.build(name, ds, seed=recipe.seed)
    asked = Action("shape", {"macs": macs, "recover_options": mending}, recipe.seed)
    if resume and store.is_run(out):
        final = store.load(out, build=build)
        _check(final, module, ds, recipe, asked)
        if "latency" in final.evidence and all((out / "exports" / f"model.{one}").is_file() for one in formats):
            return final
        deploy(final, ds, out / "exports", formats, threads=threads, overwrite=True, tell=tell)
        return store.load(out, build=build)
    _need(formats)
    if overwrite and not resume:
        folder.discard(out)
    tell(f"{ds.source}: {len(ds)} {ds.kind} samples of shape {ds.in_shape}; training {name}")
    try:
        base = train.fit(
            module, ds, recipe, out=out / "base", resume=True, device=device, build=build, command=command,
            progress=progress, stop=stop,
        )  # fmt: skip
        base.lineage = (*base.lineage, asked)
        final = base if macs >= 1 else _smaller(base, ds, recipe, macs, mending, device, tell, progress, stop)
    except InterruptedWork as error:
        said = str(error).partition(";")[0]
        raise InterruptedWork(f"{said}; {out} keeps what was done: go on with --resume") from error
    folder.write(out, final)
    deploy(final, ds, out / "exports", formats, threads=threads, overwrite=True, tell=tell)
    return store.load(out, build=build)


def _check(run: Run, module: nn.Module, ds: Dataset, recipe: Recipe, asked: Action) -> None:
    """Refuse a finished run of another network, recipe, request or data."""
    names = [action.name for action in run.lineage]
    if names not in (["train", "shape"], ["train", "shape", "prune", "recover"]):
        raise InputError(f"{run.path} holds a run that was not shaped; give --overwrite to replace it")
    assert run.path is not None
    check_network(run.origin, origin_of(module), run.path)
    if differences := Recipe.of(run.lineage[0].settings).difference(recipe):
        raise InputError(f"{run.path} was trained with another recipe: {'; '.join(differences)}")
    check_asked(run, run.lineage[1], asked.settings, ds.fingerprint)


def _need(formats: tuple[str, ...]) -> None:
    """Refuse before training what would be refused after it: what a format stands on is not installed."""
    if "onnx" in formats:
        for package in ("onnx", "onnxscript", "onnxruntime"):
            extra(package, "writing ONNX")


def _smaller(
    base: Run, ds: Dataset, recipe: Recipe, macs: float, options: Mapping[str, Any], device: str,
    tell: Callable[[str], None], progress: Callable[[Progress], None] | None, stop: Callable[[], bool] | None,
) -> Run:  # fmt: skip
    mending = {**options, "recipe": {**_tuning(recipe), **options.get("recipe", {})}}
    cuts = []
    for criterion, draw in (*((one, 0) for one in CANDIDATES), *((CONTROL, draw) for draw in range(DRAWS))):
        again = f", draw {draw + 1} of {DRAWS}" if criterion == CONTROL else ""
        tell(f"cutting to {macs:.0%} of multiply-adds by {criterion}{again}")
        cuts.append(_cut(base, ds, criterion, draw, macs, recipe.seed, theirs(_REPAIR, mending), device))
    best = max((cut for cut in cuts if cut.criterion != CONTROL), key=lambda cut: cut.repaired)
    epochs = mending["recipe"]["epochs"]
    tell(f"{best.criterion} served best; training on for {epochs} epochs with the uncut network as teacher")
    tuned = recover(
        best.net, base.net, ds, method=_TUNE, kept=best.plan, device=device, progress=progress, stop=stop,
        **theirs(_TUNE, mending),
    )  # fmt: skip
    better = _quality(tuned, ds, device) >= best.repaired
    methods = [*_REPAIR, *([_TUNE] if better else [])]
    run = pruned_run(
        base, ds, best.plan, best.cut, tuned if better else best.net, methods=methods,
        options=theirs(methods, mending), repairs=best.repairs, device=device,
    )  # fmt: skip
    tried: dict[str, Figure] = {"plan-tried": _tried(cuts, best, tuned if better else None, ds, device)}
    run.evidence |= tried
    return run


def _cut(
    base: Run, ds: Dataset, criterion: str, draw: int, macs: float, seed: int, mending: Mapping[str, Any], device: str
) -> _Cut:
    plan = prune.plan(base.net, ds, criterion, prune.Target(macs=macs), seed=seed + 1000 * draw, device=device)
    cut = plan.apply(base.net)
    repairs: list[Repair] = []
    net = recover(
        cut, base.net, ds, method=_REPAIR, kept=plan, seed=seed, tell=repairs.append, device=device, **mending
    )
    return _Cut(criterion, draw, plan, cut, net, _quality(cut, ds, device), _quality(net, ds, device), tuple(repairs))


def _tuning(recipe: Recipe) -> dict[str, Any]:
    """Half of the epochs, at the same rate."""
    return {**recipe.to_json(), "epochs": max(1, recipe.epochs // 2), "warmup": 0.0}


def _quality(net: nn.Module, ds: Dataset, device: str) -> float:
    """How good a network is on validation, higher being better: accuracy, or minus the error."""
    found = evaluate(net, ds, split=_selection(ds), device=device).metrics
    return found["accuracy"] if "accuracy" in found else -found.get("rmse", found.get("mse", 0.0))


def _selection(ds: Dataset) -> str:
    return "validation" if len(ds.splits.get("validation", ())) else "train"


def beats(best: float, draws: Sequence[float]) -> bool:
    """Whether a quality stands out from random draws': above the best by more than they differ among themselves.

    >>> beats(0.95, [0.90, 0.92, 0.91]), beats(0.93, [0.90, 0.92, 0.91]), beats(1.0, [1.0, 1.0, 1.0])
    (True, False, False)
    """
    return best > max(draws) and best - max(draws) > max(draws) - min(draws)


def _tried(cuts: list[_Cut], best: _Cut, tuned: nn.Module | None, ds: Dataset, device: str) -> Table:
    measure = "accuracy" if ds.task == "classification" else "minus error"
    rows: list[tuple[str | int | float | None, ...]] = [
        (
            f"{cut.criterion}, draw {cut.draw + 1}" if cut.criterion == CONTROL else cut.criterion,
            cut.plan.macs_after,
            cut.as_cut,
            cut.repaired,
            "taken" if cut is best else "control" if cut.criterion == CONTROL else "",
        )
        for cut in cuts
    ]
    if tuned is not None:
        rows.append((f"{best.criterion}, trained on", best.plan.macs_after, None, _quality(tuned, ds, device), "kept"))
    better = beats(best.repaired, [cut.repaired for cut in cuts if cut.criterion == CONTROL])
    rule = f"above the best of {DRAWS} draws by more than they differ among themselves"
    verdict = (
        f"better than {CONTROL} selection: {rule}" if better else f"not told apart from {CONTROL} selection: not {rule}"
    )
    split = _selection(ds)
    place = "validation" if split == "validation" else "training samples, as there is no validation split"
    return Table(
        title=f"Criteria tried on {place}; {best.criterion} was taken, {verdict}",
        alt=f"{measure} on the {split} split of {len(cuts)} cuts to the same size.",
        columns=("criterion", "MACs", f"{measure} as cut", "after recovery", "choice"),
        rows=rows,
    )
