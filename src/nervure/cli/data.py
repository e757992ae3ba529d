"""``nervure data``: what a source holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nervure.cli import complete
from nervure.cli import options as opt
from nervure.cli.common import check_file, load_data, pairs
from nervure.cli.console import print_figure, print_json, print_table, say
from nervure.errors import InputError


def command(
    source: Annotated[
        str | None,
        typer.Argument(
            help="A name, file or folder.",
            metavar="SOURCE",
            autocompletion=complete.rows("data/sources.py", "source"),
        ),
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="List the sources that have a name, and the formats.", metavar="")
    ] = False,
    page: Annotated[
        Path | None, typer.Option("--page", "-o", help="Write a page with pictures of samples.", metavar="FILE")
    ] = None,
    data_option: opt.DataOption = None,
    data_dir: opt.DataDir = None,
    overwrite: opt.Replace = False,
    json_: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Describe a source: shapes, classes, splits, and samples as a picture.

    Examples:

    $ nervure data digits

    $ nervure data photos/ --data-option size=64 --page photos.html
    """
    from nervure import data
    from nervure.evidence import Table

    if list_:
        _list(json_)
        return
    if source is None:
        raise InputError("name a source, or give --list; see: nervure data --help")
    check_file(page, overwrite, (".html",))
    ds = load_data(source, data_dir, pairs(data_option, "--data-option"))
    figures = data.describe(ds)
    table = next(figure for figure in figures if isinstance(figure, Table))
    if page is not None:
        from nervure import report

        html = report.page(f"Data: {source}", [report.Section("What it holds", "", figures)])
        report.write(page, html, overwrite=overwrite)
    if json_:
        held = {str(row[0]): row[1] for row in table.rows}
        print_json({**held, "names": list(ds.names), "fingerprint": ds.fingerprint})
    else:
        print_figure(table)
    if page is not None:
        say(f"wrote {page}", quiet=quiet)


def _list(json_: bool) -> None:
    from nervure.data.sources import formats, sources

    named = {name: sources.row(name).line for name in sources.names()}
    named["hf:NAME"] = "a data set of the Hugging Face hub, or in its form on disk"
    read = {name: formats.row(name).line for name in formats.names()}
    if json_:
        print_json({"sources": named, "formats": read})
        return
    print_table(("source", "what it is"), list(named.items()))
    print_table(("format", "what it is"), list(read.items()))
