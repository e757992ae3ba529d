"""``nervure report``: a run as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nervure.cli import options as opt
from nervure.cli.console import print_json


def command(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="An .html file; RUN/report.html if not given.")
    ] = None,
    build: opt.NetFunction = None,
    json_: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Write a run as one HTML file that opens offline, drawn from the run's evidence alone.

    Examples:

      nervure report runs/base
    """
    from nervure import report, store

    held = store.load(run, build=build)
    path = report.write(out or run / "report.html", report.run_page(held), overwrite=True)
    if json_:
        print_json({"page": str(path)})
    else:
        typer.echo(str(path))
