"""What ``nervure sparsify`` does once it knows what is wanted: judge or train, write the run, say what came of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nervure.cli.common import load_run, say_where
from nervure.cli.console import judging_bar, print_figure, print_json, print_table, training_bar
from nervure.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from nervure.data import Dataset
    from nervure.sparsify import Mask
    from nervure.sparsify.compact import Compacted
    from nervure.store import Run
    from nervure.train import Recipe

__all__ = ["finished", "judged", "show", "trained", "unusual", "write"]

_USUAL = {"ranking": "layer", "order": "input-to-output", "exclude": (), "allow_empty": False, "samples": 2000}

_RULE = re.compile(r"rules=\{'(\w+)': 'passed'\}")


def unusual(terms: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the terms with a default that say something else, by their options.

    >>> unusual({"ranking": "global", "samples": 2000, "allow_empty": True})
    {'--ranking': 'global', '--allow-empty': True}
    """
    return {
        f"--{name.replace('_', '-')}": value
        for name, value in terms.items()
        if name in _USUAL and value != _USUAL[name]
    }


def finished(
    out: Path, net: str | None, criterion: str, terms: Mapping[str, Any], own: dict[str, Any], recipe: Recipe,
    json_: bool, quiet: bool,
) -> bool:  # fmt: skip
    """Whether the folder holds what the command would make: then that is shown again. Another request is refused."""
    from nervure import sparsify
    from nervure.sparsify.training.train_with import recipe_with
    from nervure.store import folder
    from nervure.train import Recipe

    if not folder.is_run(out):
        return False
    held = load_run(out, net)
    last = held.lineage[-1]
    if last.name != "sparsify":
        return False
    trainings = [action for action in held.lineage if action.name == "train"]
    if last.settings.get("criterion") != criterion or not trainings:
        raise InputError(f"{out} was sparsified by {last.settings.get('criterion')!r}; give --overwrite to replace it")
    share, given = _given(terms)
    wanted = recipe_with(criterion, share, recipe, settings=own, **given)
    differences = Recipe.of(trainings[-1].settings).difference(wanted)
    for name, value in _about(criterion, share, own, given).items():
        if (was := last.settings.get(name)) != value:
            differences.append(f"{name}: {was} is not {value}")
    if differences:
        raise InputError(
            f"{out} was made with other settings: {'; '.join(differences)}; give --overwrite to replace it"
        )
    if (file := out / "mask.json").is_file():
        show(sparsify.Mask.load(file), json_, out, held)
    say_where(out, None, quiet=quiet, finished=True)
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
    with judging_bar(quiet) as bar:
        try:
            return sparsify.plan(held.net, ds, criterion, seed=seed, device=device, progress=bar, **terms, **own)
        except InputError as error:
            raise InputError(_in_shell(str(error))) from error


def _in_shell(message: str) -> str:
    """Arguments in a message as options of the command line.

    >>> _in_shell("ask for less, or say allow_empty=True")
    'ask for less, or give --allow-empty'
    >>> _in_shell("these are 20000; give initial='identity'")
    'these are 20000; give --set initial=identity'
    >>> print(_in_shell("or give one where the criterion takes it: rules={'cumsum': 'passed'}"))
    or give one where the criterion takes it: --set 'rules={"cumsum": "passed"}'
    """
    words = {
        "say allow_empty=True": "give --allow-empty",
        "ranking='layer'": "--ranking layer",
        "ranking='global'": "--ranking global",
        "give initial='identity'": "give --set initial=identity",
    }
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

    share, given = _given(terms)
    with training_bar(quiet) as bar, stopping() as stop:
        fitting = {"out": out, "resume": resume, "overwrite": overwrite, "device": device, "build": build,
                   "progress": bar, "stop": stop}  # fmt: skip
        try:
            done = sparsify.train_with(held, ds, criterion, share, recipe, settings=own, fit_options=fitting, **given)
        except InputError as error:
            raise InputError(_in_shell(str(error))) from error
    about = {name: given[name] for name in ("ranking", "order", "pattern") if name in given}
    layers, left = _layers(done.net, ds, criterion, given)
    made = trained_mask(
        done.net, list(layers), asked=_asked(layers, criterion, share, given), seed=recipe.seed,
        samples=given.get("samples", 2000), notes={"trained": True, **({"not_judged": left} if left else {})},
        **_about(criterion, share, own, given), **about,
    )  # fmt: skip
    return done, made


def _layers(
    net: nn.Module, ds: Dataset, criterion: str, given: Mapping[str, Any]
) -> tuple[dict[str, nn.Module], list[str]]:
    """The layers that could lose edges, and modules with weights that the criterion left whole."""
    from nervure.sparsify import bake, criteria
    from nervure.sparsify.layers import others, prunable
    from nervure.sparsify.plan import silent

    plain, among = bake(net), (given.get("layers"), given.get("exclude", ()))
    layers = prunable(plain, *among)
    unheard = silent(plain, ds.batch(ds.indices("train")[:1]).x, layers, criteria.get(criterion))
    whole = [*unheard, *others(plain, *among)]
    return {name: module for name, module in layers.items() if name not in unheard}, whole


def _given(terms: Mapping[str, Any]) -> tuple[float | dict[str, float] | None, dict[str, Any]]:
    """The share of edges to remove, and the terms that say something."""
    given = {name: value for name, value in terms.items() if value is not None and _USUAL.get(name) != value}
    return given.pop("sparsity", None), given


def _about(
    criterion: str, share: float | dict[str, float] | None, own: dict[str, Any], given: dict[str, Any]
) -> dict[str, Any]:
    """What a mask that came with training keeps of what was asked."""
    if share is None and criterion != "l1":
        pattern = given.get("pattern")
        share = 0.5 if pattern is None else 1 - pattern[0] / pattern[1]
    plain = {name: value for name, value in own.items() if isinstance(value, bool | int | float | str)}
    return {"criterion": criterion, "sparsity": None if criterion == "l1" else share, "settings": plain}


def _asked(
    layers: Mapping[str, nn.Module], criterion: str, share: float | dict[str, float] | None, given: dict[str, Any]
) -> dict[str, float]:
    """The share that was asked of each layer; none where the method or a ranking of all edges finds its own."""
    from nervure.sparsify import rates
    from nervure.sparsify.layers import checked

    if criterion in ("l1", "dropout") or given.get("ranking") == "global":
        return {}
    return rates.asked(checked(layers), share, pattern=given.get("pattern"), allow_empty=True)


def write(
    out: Path, first: Run, base: Run, ds: Dataset, seen: Dataset, mask: Mask, *, train: bool, drop: bool, keep: bool,
    times: bool, device: str, command: str, overwrite: bool, json_: bool,
) -> None:  # fmt: skip
    """Make the network that is kept, measure it, write its run, and say what came of it; ``seen`` was judged by."""
    from nervure import sparsify
    from nervure.sparsify.runs import mask_figures, save_sparsified, sparsified_run
    from nervure.sparsify.size import stored_bytes
    from nervure.sparsify.verdict import verdict

    example = ds.batch(ds.indices("train")[:3]).x
    plain = mask.bake(base.net)
    units = sparsify.compacted(plain, example)
    thin = units.net if drop else mask.apply(base.net) if keep else plain
    figures = mask_figures(base.net, mask, seen)
    table = None
    if times:
        table = sparsify.measured(plain, ds.batch(ds.indices("train")[:64]).x)
        figures["times"] = table.evidence
    done = sparsified_run(
        base, ds, mask, thin, before=first, units=units, figures=figures, device=device, command=command
    )
    save_sparsified(out, done, mask, overwrite=overwrite or train)
    gone, stuck = sum(units.removed.values()), sum(sum(why.values()) for why in units.stayed.values())
    note = verdict(
        stored_bytes(first.net), int(done.metrics["bytes"]), gone, stuck, compacted=drop, masked=keep and not drop,
        pays=None if table is None else table.pays,
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
