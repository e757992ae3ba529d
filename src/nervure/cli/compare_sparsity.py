"""``nervure compare sparsity``: criteria of edges side by side on one network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from nervure.cli import options as opt
from nervure.cli.common import load_run, pairs
from nervure.cli.comparing import AGAINST, finish, rows_of, shares, teller, words
from nervure.cli.samples import data_of


def command(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A folder for the trials, the result and the page.")],
    criteria: Annotated[
        str, typer.Option(help="Names, with commas; see: nervure sparsify --list.")
    ] = "isparse,magnitude,random,snip,wanda",
    sparsity: Annotated[str, typer.Option(help="Shares of edges to remove, with commas.")] = "0.3,0.5,0.7,0.9",
    seeds: Annotated[int, typer.Option(help="How many seeds.", min=1)] = 3,
    samples: Annotated[int, typer.Option(help="Training samples that criteria see.", min=1)] = 2000,
    ranking: Annotated[str, typer.Option(help="layer: the same share of each; global: all edges together.")] = "layer",
    seconds: Annotated[bool, typer.Option(help="Time 10,000 samples, with zeros and by edges.")] = True,
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
    """Remove edges of one network by several criteria at several rates, and hold them side by side.

    Each trial runs in a process of its own, and what is done already is not done again. The page shows accuracy against
    sparsity, how far masks agree, bytes and seconds; compare.json has the same with the paired tests.

    Examples:

    $ nervure compare sparsity runs/base --criteria isparse,magnitude,random --sparsity 0.5,0.9 -o runs/compare
    """
    from nervure import report
    from nervure.errors import InputError
    from nervure.sparsify.criteria import criteria as criterion_table
    from nervure.store.atomic import write_json
    from nervure.study.compare_sparsity import compare_sparsity
    from nervure.train.interrupt import stopping

    if ranking not in ("layer", "global"):
        raise InputError(f"--ranking {ranking!r}; take layer or global")
    held = load_run(run, net)
    ds = data_of(held, data, data_dir, pairs(data_option or [], "--data-option"))

    def said(metrics: Mapping[str, float]) -> str:
        return ", ".join(f"{100 * value:.2f} %" for name, value in metrics.items() if name.startswith("accuracy "))

    with stopping() as stop:
        found = compare_sparsity(
            run, ds, criteria=words(criteria), sparsity=shares(sparsity, "--sparsity", "0.5,0.9"), seeds=seeds, out=out,
            samples=samples, ranking=ranking, seconds=seconds, build=net, jobs=jobs, minutes=minutes, threads=threads,
            device=device, data_dir=data_dir, progress=teller(said, quiet), stop=stop,
        )  # fmt: skip
    tables = [found.table(), found.costs()]
    write_json(out / "compare.json", {"run": str(run), "rows": rows_of(tables), "tests": found.tests()})
    intro = (
        f"{seeds} seeds draw the samples that criteria see and random masks; the network is one, so the spread is not "
        f"that of training. {tables[0].alt} {AGAINST}"
    )
    section = report.Section("Criteria side by side", intro, found.figures())
    known = {name: criterion_table.get(name) for name in found.criteria}
    finish(out, f"Sparsity of {run}", section, tables, found.results, known, json_=json_)
