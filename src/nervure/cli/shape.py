"""``nervure shape``: the whole way in one go."""

from __future__ import annotations

from typing import Annotated

import typer

from nervure.cli import options as opt
from nervure.cli.common import check_device, claim, is_function, load_data, nested, own_code, pairs, set_threads, typed
from nervure.cli.console import print_json, print_table, say, training_bar
from nervure.cli.train import make_recipe


def command(
    context: typer.Context,
    source: opt.Source,
    out: opt.Out,
    net: opt.Net = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Passes over the training split; enough for 1,500 steps if not given.", metavar="N"),
    ] = None,
    macs: Annotated[
        float,
        typer.Option(help="Share of multiply-adds that may remain; 1 cuts nothing.", metavar="SHARE", min=0.01, max=1),
    ] = 0.5,
    recover_set: opt.RecoverSet = None,
    recipe: opt.RecipeFile = None,
    settings: opt.RecipeField = None,
    data_option: opt.DataOption = None,
    data_dir: opt.DataDir = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of everything random; 0 if not given.", metavar="N", rich_help_panel=opt.COMMON, min=0),
    ] = None,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
    json_: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Go the whole way: train a network for the data, cut it, repair it, export it, and write a page that shows why.

    Several criteria cut the network to the same size; the one that serves best on the validation split is taken. The
    uncut network stays in OUT/base, so that both can be compared. With --resume a finished run is exported and measured
    if that is missing; one that was asked for otherwise is refused.

    Examples:

    $ nervure shape digits -o runs/shaped

    $ nervure shape digits --macs 0.3 --recover-set recipe.epochs=60 -o runs/shaped
    """
    from nervure import report
    from nervure.evidence import Table
    from nervure.study.shape import default_recipe, shape
    from nervure.train.interrupt import stopping

    set_threads(threads)
    check_device(device)
    claim(out, resume=resume, overwrite=overwrite)
    given = {key: value for key, value in {"epochs": epochs, "seed": seed}.items() if value is not None}
    how = None if recipe is None else make_recipe(recipe, given, settings)
    ds = load_data(source, data_dir, pairs(data_option, "--data-option"))
    own_code(net)
    build = net if is_function(net) else None
    with training_bar(quiet) as bar, stopping() as stop:
        run = shape(
            ds, out, net=net, recipe=how or default_recipe(ds, **{**pairs(settings, "--set"), **given}),
            macs=macs, recover_options=nested(recover_set, "--recover-set"), threads=threads or 1, device=device,
            resume=resume, overwrite=overwrite, build=build,
            command=typed(context), progress=bar, stop=stop, tell=lambda line: say(line, quiet=quiet),
        )  # fmt: skip
    page = report.write(out / "report.html", report.run_page(run), overwrite=True)
    if json_:
        print_json({"run": str(out), "page": str(page), "metrics": run.metrics})
        return
    if isinstance(told := run.evidence.get("pruned"), Table):
        print_table(told.columns, told.rows, title=str(out))
    else:
        print_table(("measure", "value"), list(run.metrics.items()), title=str(out))
    typer.echo(f"open {page.resolve()}")
