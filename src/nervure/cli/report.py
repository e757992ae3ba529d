"""``nervure report``: a run as one page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from nervure.cli import options as opt
from nervure.cli.common import check_file, load_run
from nervure.cli.console import print_json


def command(
    run: opt.RunFolder,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="An .html file; RUN/report.html if not given.", metavar="FILE"),
    ] = None,
    net: opt.NetFunction = None,
    overwrite: opt.Replace = False,
    json_: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Write a run as one HTML file that opens offline, drawn from the run's evidence alone.

    The page within the run's own folder is written anew each time.

    Examples:

    $ nervure report runs/base

    $ nervure report runs/base -o base.html
    """
    from nervure import report

    check_file(out, overwrite, (".html",))
    held = load_run(run, net)
    path = report.write(out or run / "report.html", report.run_page(held), overwrite=True)
    if json_:
        print_json({"page": str(path)})
    else:
        sys.stdout.write(f"{path}\n")
