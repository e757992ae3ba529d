"""``nervure compare``: runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nervure.cli import options as opt
from nervure.cli.console import print_figure, print_json, say
from nervure.errors import InputError


def command(
    runs: Annotated[list[Path], typer.Argument(help="Two or more runs' folders.")],
    page: Annotated[Path | None, typer.Option("--out", "-o", help="Also write a page, as .html.")] = None,
    json_: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Hold runs side by side: their measures, and how each differs from the first.

    Examples:

      nervure compare runs/base runs/small -o compare.html
    """
    from nervure import report, store
    from nervure.report.compare_page import compare_table

    if len(runs) < 2:
        raise InputError("compare needs two runs or more")
    held = [store.load(path) for path in runs]
    if json_:
        print_json([{"run": str(run.path), "metrics": run.metrics} for run in held])
    else:
        print_figure(compare_table(held))
    if page is not None:
        report.write(page, report.compare_page(held), overwrite=True)
        say(f"wrote {page}")
