"""``nervure compare pruning``: criteria side by side on one network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from nervure.cli import options as opt
from nervure.cli.common import load_run, nested, pairs
from nervure.cli.comparing import AGAINST, finish, shares, teller, words
from nervure.cli.samples import data_of
from nervure.cli.train import make_recipe


def command(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A folder for the trials, the result and the page.")],
    criteria: Annotated[str, typer.Option(help="Names, with commas; see: nervure prune --list.")] = "random,l1",
    keep: Annotated[str, typer.Option(help="Kept shares of units, with commas.")] = "0.7,0.5,0.3",
    seeds: Annotated[int, typer.Option(help="How many seeds.", min=1)] = 3,
    samples: Annotated[int, typer.Option(help="Training samples that criteria see.", min=1)] = 1000,
    recover: Annotated[str, typer.Option(help="Methods of recovery, with commas; none for none.")] = (
        "kernel-estimation,batch-norm"
    ),
    recover_set: opt.RecoverSet = None,
    tune: Annotated[int | None, typer.Option(help="Also train for so many epochs afterwards.", min=1)] = None,
    net: opt.NetFunction = None,
    data: opt.DataSource = None,
    data_option: opt.DataOption = None,
    data_dir: opt.DataDir = None,
    jobs: Annotated[int, typer.Option(help="Trials at a time.", min=1)] = 1,
    minutes: Annotated[
        float | None, typer.Option(help="Start no trial that would end later; 0 only shows what is there.", min=0)
    ] = None,
    threads: opt.Threads = None,
    device: opt.Device = "auto",
    json_: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Prune one network by several criteria at several sizes, and hold them side by side.

    Each trial runs in a process of its own, and what is done already is not done again. The page shows accuracy (or
    the error) as cut, after recovery and after training, the front of it against cost, and how far criteria agree.

    Examples:

    $ nervure compare pruning runs/base --criteria l1,random,majority-vote --keep 0.7,0.5 --seeds 3 -o runs/compare

    $ nervure compare pruning runs/base --recover-set samples=1000 --recover-set ridge=0.01 -o runs/compare
    """
    from nervure import report
    from nervure.prune.criteria import criteria as criterion_table
    from nervure.study.compare_pruning import QUALITIES, compare_pruning, reached
    from nervure.train.interrupt import stopping

    held = load_run(run, net)
    ds = data_of(held, data, data_dir, pairs(data_option or [], "--data-option"))
    recipe = None if tune is None else make_recipe(None, {"epochs": tune}).to_json()

    def said(metrics: Mapping[str, float]) -> str | None:
        found = reached(metrics)
        if found is None:
            return None
        return f"{100 * found[1]:.2f} %" if QUALITIES[found[0]] else f"{found[0]} {found[1]:.4g}"

    with stopping() as stop:
        found = compare_pruning(
            run, ds, criteria=words(criteria), keep=shares(keep, "--keep", "0.7,0.5"), seeds=seeds, out=out,
            samples=samples, recover=[one for one in words(recover) if one != "none"] or ["none"],
            recover_options=nested(recover_set, "--recover-set"), tune=recipe,
            build=net, jobs=jobs, minutes=minutes, threads=threads, device=device, data_dir=data_dir,
            progress=teller(said, quiet), stop=stop,
        )  # fmt: skip
    table = found.table()
    section = report.Section("Criteria side by side", f"{table.alt} {AGAINST}", found.figures())
    known = {name: criterion_table.get(name) for name in found.criteria}
    finish(out, f"Pruning {run}", section, [table], found.results, known, json_=json_, besides=found.agreement)
