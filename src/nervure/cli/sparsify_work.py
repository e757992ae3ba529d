"""What ``nervure sparsify`` does once it knows what is wanted: judge or train, write the run, say what came of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nervure.cli.common import load_run
from nervure.cli.console import judging_bar, print_figure, print_json, print_table, say, training_bar
from nervure.errors import InputError

if TYPE_CHECKING:
    from nervure.data import Dataset
    from nervure.evidence import Figure
    from nervure.sparsify import Mask
    from nervure.sparsify.compact import Compacted
    from nervure.store import Run
    from nervure.train import Recipe

__all__ = ["finished", "judged", "show", "trained", "write"]

_RULE = re.compile(r"rules=\{'(\w+)': 'passed'\}")


def finished(out: Path, net: str | None, criterion: str, quiet: bool) -> bool:
    """Whether the folder holds what the command would make: then nothing is left to do."""
    from nervure.store import folder

    if not folder.is_run(out):
        return False
    last = load_run(out, net).lineage[-1]
    if last.name != "sparsify":
        return False
    if last.settings.get("criterion") != criterion:
        raise InputError(f"{out} was sparsified by {last.settings.get('criterion')!r}; give --overwrite to replace it")
    say(f"{out} is finished; see it with: nervure report {out}", quiet=quiet)
    return True


def judged(
    held: Run, ds: Dataset, file: Path | None, criterion: str, terms: dict[str, Any], own: dict[str, Any],
    seed: int, device: str, quiet: bool,
) -> Mask:  # fmt: skip
    """The saved mask, or one that is made now."""
    from nervure import sparsify

    if file is not None:
        saved = sparsify.Mask.load(file)
        saved.check(held.net)
        return saved
    if held.task == "clustering":
        from nervure.cluster.runs import by_its_clusters

        ds = by_its_clusters(held, ds, seed=seed, device=device)
    with judging_bar(quiet) as bar:
        try:
            return sparsify.plan(held.net, ds, criterion, seed=seed, progress=bar, **terms, **own)
        except InputError as error:
            raise InputError(_in_shell(str(error))) from error


def _in_shell(message: str) -> str:
    """Arguments in a message as options of the command line.

    >>> _in_shell("ask for less, or say allow_empty=True")
    'ask for less, or give --allow-empty'
    >>> print(_in_shell("or give one where the criterion takes it: rules={'cumsum': 'passed'}"))
    or give one where the criterion takes it: --set 'rules={"cumsum": "passed"}'
    """
    words = {"say allow_empty=True": "give --allow-empty", "ranking='layer'": "--ranking layer",
             "ranking='global'": "--ranking global"}  # fmt: skip
    for said, option in words.items():
        message = message.replace(said, option)
    return _RULE.sub(r"""--set 'rules={"\1": "passed"}'""", message)


def trained(
    held: Run, ds: Dataset, criterion: str, terms: dict[str, Any], own: dict[str, Any], recipe: Recipe, out: Path,
    resume: bool, overwrite: bool, device: str, build: str | None, quiet: bool,
) -> tuple[Run, Mask]:  # fmt: skip
    """The run as it was trained while edges went, and the mask that it ended with."""
    from nervure import sparsify
    from nervure.sparsify.runs import trained_mask
    from nervure.train.interrupt import stopping

    usual = {"ranking": "layer", "order": "input-to-output", "exclude": (), "allow_empty": False, "samples": 2000}
    given = {name: value for name, value in terms.items() if value is not None and usual.get(name) != value}
    share = given.pop("sparsity", None)
    with training_bar(quiet) as bar, stopping() as stop:
        fitting = {"out": out, "resume": resume, "overwrite": overwrite, "device": device, "build": build,
                   "progress": bar, "stop": stop}  # fmt: skip
        try:
            done = sparsify.train_with(held, ds, criterion, share, recipe, settings=own, fit_options=fitting, **given)
        except InputError as error:
            raise InputError(_in_shell(str(error))) from error
    about = {name: given[name] for name in ("ranking", "order", "pattern") if name in given}
    plain = {name: value for name, value in own.items() if isinstance(value, bool | int | float | str)}
    made = trained_mask(
        done.net, criterion=criterion, sparsity=share, seed=recipe.seed, settings=plain,
        samples=given.get("samples", 2000), notes={"trained": True}, **about,
    )  # fmt: skip
    return done, made


def write(
    out: Path, first: Run, base: Run, ds: Dataset, mask: Mask, *, train: bool, drop: bool, keep: bool, times: bool,
    device: str, command: str, overwrite: bool, json_: bool,
) -> None:  # fmt: skip
    """Make the network that is kept, measure it, write its run, and say what came of it."""
    from nervure import sparsify
    from nervure.sparsify.runs import mask_figures, save_sparsified, sparsified_run
    from nervure.sparsify.size import stored_bytes
    from nervure.sparsify.verdict import verdict

    example = ds.batch(ds.indices("train")[:3]).x
    plain = sparsify.bake(base.net) if train else mask.bake(base.net)
    units = sparsify.compacted(plain, example)
    held = base.net if train and sparsify.masks_of(base.net) else mask.apply(sparsify.bake(base.net))
    thin = units.net if drop else held if keep else plain
    figures: dict[str, Figure] = {} if train else mask_figures(first.net, mask, ds)
    if train:
        figures |= {name: one for name, one in base.evidence.items() if name == "sparse-training"}
    table = None
    if times:
        table = sparsify.measured(plain, ds.batch(ds.indices("train")[:64]).x)
        figures["times"] = table.evidence
    done = sparsified_run(first, ds, mask, thin, units=units, figures=figures, device=device, command=command)
    if train:
        done.lineage, done.history = (*base.lineage, done.lineage[-1]), base.history
    save_sparsified(out, done, mask, overwrite=overwrite or train)
    note = verdict(
        stored_bytes(first.net), int(done.metrics["bytes"]), sum(units.removed.values()), compacted=drop,
        masked=keep and not drop, pays=None if table is None else table.pays,
    )  # fmt: skip
    show(mask, json_, out, done, units, note)


def show(
    mask: Mask,
    json_: bool,
    out: Path | None = None,
    done: Run | None = None,
    units: Compacted | None = None,
    note: str = "",
) -> None:
    """The mask's table, and what was measured, on stdout."""
    from nervure.evidence import Table

    measures = None if done is None else done.evidence["sparsified"]
    columns, rows = (measures.columns, measures.rows) if isinstance(measures, Table) else ((), ())
    if json_:
        print_json(
            {
                "run": None if out is None else str(out),
                "criterion": mask.about.criterion,
                "sparsity": mask.sparsity,
                "layers": [
                    {"layer": row.layer, "edges": row.edges, "kept": row.kept, "zeros": row.edges - row.kept,
                     "asked": row.asked, "sparsity": row.sparsity}
                    for row in mask.rows
                ],
                "not_judged": _not_judged(mask),
                "metrics": {str(row[0]): dict(zip(columns[1:], row[1:], strict=True)) for row in rows},
                "units": None if units is None else {
                    "removable": dict(units.removed), "stay": {name: dict(why) for name, why in units.stayed.items()}
                },
                "says": note,
            }
        )  # fmt: skip
        return
    print_figure(mask.table())
    if left := _not_judged(mask):
        typer.echo(f"Not judged, and whole: {', '.join(left)}.")
    if rows:
        print_table(columns, rows, str(out))
    if note:
        typer.echo(note)


def _not_judged(mask: Mask) -> list[str]:
    """Modules with weights that the criterion left out."""
    found = mask.about.notes.get("not_judged", [])
    return [str(name) for name in found] if isinstance(found, list) else []
