"""``nervure shape``: the whole way in one go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nervure.cli import options as opt
from nervure.cli.common import load_data, pairs, set_threads, typed
from nervure.cli.console import print_json, print_table, say, training_bar
from nervure.cli.train import make_recipe


def command(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="A name, file or folder; see: nervure data --list.")],
    out: opt.Out,
    net: Annotated[str | None, typer.Option(help="A network's name; chosen by the data if not given.")] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the training split.  Enough for 1,500 steps if not given.")
    ] = None,
    recipe: Annotated[Path | None, typer.Option(help="A recipe as JSON.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any field of the recipe, as key=value; repeatable.")
    ] = None,
    data_option: Annotated[list[str] | None, typer.Option(help="A source's option, as key=value; repeatable.")] = None,
    data_dir: opt.DataDir = None,
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
    json_: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Go the whole way: train a network for the data, measure it, export it, and write a page that shows why.

    Examples:

      nervure shape digits -o runs/shaped
    """
    from nervure import report
    from nervure.study.shape import default_recipe, shape
    from nervure.train.interrupt import stopping

    set_threads(threads)
    ds = load_data(source, data_dir, pairs(data_option or [], "--data-option"))
    given = {"epochs": epochs} if epochs is not None else {}
    if recipe is not None:
        how = make_recipe(recipe, dict(given), settings, seed=seed)
    else:
        how = default_recipe(ds, **{"seed": seed, **pairs(settings or [], "--set"), **given})
    with training_bar(quiet) as bar, stopping() as stop:
        run = shape(
            ds, out, net=net, recipe=how, device=device, resume=resume, overwrite=overwrite, command=typed(context),
            progress=bar, stop=stop,
            tell=lambda line: say(line, quiet=quiet),
        )  # fmt: skip
    page = report.write(out / "report.html", report.run_page(run), overwrite=True)
    if json_:
        print_json({"run": str(out), "page": str(page), "metrics": run.metrics})
        return
    print_table(("measure", "value"), list(run.metrics.items()), title=str(out))
    typer.echo(f"open {page.resolve()}")
