"""``nervure compare``: runs side by side."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nervure.cli import options as opt
from nervure.cli.common import check_file, load_run
from nervure.cli.console import print_figure, print_json, say
from nervure.errors import InputError

if TYPE_CHECKING:
    from nervure.store import Run


def command(
    runs: Annotated[list[Path], typer.Argument(help="Two or more runs' folders.", metavar="RUNS")],
    page: Annotated[
        Path | None, typer.Option("--out", "-o", help="Also write a page, as .html.", metavar="FILE")
    ] = None,
    net: opt.NetFunction = None,
    overwrite: opt.Replace = False,
    json_: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Hold runs side by side: their measures, and how each differs from the first.

    Bytes on disk and sparsity, where one of the runs has them, are counted for the others too.

    Examples:

    $ nervure compare runs/base runs/small -o compare.html
    """
    from nervure import report
    from nervure.report.compare_page import compare_table

    if len(runs) < 2:
        raise InputError("compare needs two runs or more")
    check_file(page, overwrite, (".html",))
    held = [_open(path, net) for path in runs]
    _weigh(held)
    if len({run.fingerprint for run in held} - {""}) > 1:
        say(
            "nervure: warning: the runs are on different data, so their scores cannot be held against each other",
            quiet=quiet,
        )
    if page is not None:
        report.write(page, report.compare_page(held), overwrite=overwrite)
    if json_:
        print_json([{"run": str(run.path), "metrics": run.metrics} for run in held])
    else:
        print_figure(compare_table(held))
    if page is not None:
        say(f"wrote {page}", quiet=quiet)


def _open(path: Path, function: str | None) -> Run:
    """A run; the function is for those whose network was made by one."""
    from nervure.store.record import parse

    origin = parse(path / "run.json").origin
    base = {} if origin is None else origin["base"]
    own = origin is None or (isinstance(base, dict) and base.get("kind") == "function")
    return load_run(path, function if own else None)


def _weigh(runs: Sequence[Run]) -> None:
    """Count what a sparsified run says of its weights for those that do not say it, as far as they can be counted."""
    from nervure.sparsify.runs import trained_mask
    from nervure.sparsify.size import stored_bytes

    counts: dict[str, Callable[[Run], float]] = {
        "bytes": lambda run: float(stored_bytes(run.net)),
        "sparsity": lambda run: trained_mask(run.net).sparsity,
    }
    for name, count in counts.items():
        if any(name in run.metrics for run in runs):
            for run in runs:
                if name not in run.metrics:
                    with contextlib.suppress(InputError):
                        run.metrics = {**run.metrics, name: count(run)}
