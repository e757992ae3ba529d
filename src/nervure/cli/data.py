"""``nervure data``: what a source holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nervure.cli import options as opt
from nervure.cli.common import load_data, pairs
from nervure.cli.console import print_figure, print_json, print_table, say
from nervure.errors import InputError


def command(
    source: Annotated[str | None, typer.Argument(help="A name, file or folder.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the sources that have a name, and the formats.")] = False,
    page: Annotated[Path | None, typer.Option("--page", "-o", help="Write a page with pictures of samples.")] = None,
    data_option: Annotated[list[str] | None, typer.Option(help="A source's option, as key=value; repeatable.")] = None,
    data_dir: opt.DataDir = None,
    json_: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Describe a source: shapes, classes, splits, and samples as a picture.

    Examples:

      nervure data digits

      nervure data photos/ --data-option size=64 --page photos.html
    """
    from nervure import data
    from nervure.evidence import Table

    if list_:
        rows = [(name, data.sources.row(name).line) for name in data.sources.names()]
        print_json(dict(rows)) if json_ else print_table(("source", "what it is"), rows)
        return
    if source is None:
        raise InputError("name a source, or give --list; see: nervure data --help")
    ds = load_data(source, data_dir, pairs(data_option or [], "--data-option"))
    figures = data.describe(ds)
    table = next(figure for figure in figures if isinstance(figure, Table))
    if json_:
        print_json(
            {
                **{str(row[0]): row[1] for row in table.rows},
                "names": list(ds.names),
                "fingerprint": ds.fingerprint,
            }
        )
    else:
        print_figure(table)
    if page is not None:
        from nervure import report

        report.write(
            page,
            report.page(f"Data: {source}", [report.Section("What it holds", "", figures)]),
            overwrite=True,
        )
        say(f"wrote {page}")
