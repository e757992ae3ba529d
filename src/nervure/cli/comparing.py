"""What commands that compare criteria share: lists with commas, progress, the page, and what failed."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nervure.cli.console import print_figure, print_json, say
from nervure.errors import InputError, NervureError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nervure.evidence import Table
    from nervure.report import Section
    from nervure.study import Progress, Results

__all__ = ["defaults", "finish", "rows_of", "shares", "teller", "words"]

AGAINST = "Against a control: the mean difference seed by seed, and the two-sided p of Student's paired t."


def words(text: str) -> list[str]:
    """What stands between commas.

    >>> words("l1, random,")
    ['l1', 'random']
    """
    return [word.strip() for word in text.split(",") if word.strip()]


def shares(text: str, option: str, such_as: str) -> list[float]:
    """Numbers between commas.

    >>> shares("0.7,0.5", "--keep", "0.7,0.5")
    [0.7, 0.5]
    """
    try:
        return [float(word) for word in words(text)]
    except ValueError:
        raise InputError(f"{option} {text!r}: write shares with commas, such as {such_as}") from None


def teller(measure: Callable[[Mapping[str, float]], str | None], quiet: bool) -> Callable[[Progress], None]:
    """A line for each trial that ends: what ``measure`` says of its metrics, or what went wrong."""

    def tell(where: Progress) -> None:
        done = where.record
        result = done.error or measure(done.metrics) or "done"
        say(f"{where.made}/{where.total}  {done.trial.arm}, seed {done.trial.seed}: {result}", quiet=quiet)

    return tell


def rows_of(tables: Sequence[Table]) -> list[dict[str, object]]:
    """Lines of tables that belong together, as one mapping each."""
    lines: list[dict[str, object]] = [{} for _ in tables[0].rows]
    for table in tables:
        for line, row in zip(lines, table.rows, strict=True):
            line |= dict(zip(table.columns, row, strict=True))
    return lines


def defaults(known: Mapping[str, Callable[..., object]]) -> dict[str, str]:
    """The settings that criteria have where none are given, each after the criterion's name.

    >>> defaults({"mine": lambda alpha=0.5: None})
    {'mine: alpha': '0.5'}
    """
    return {
        f"{name}: {setting.name}": str(setting.default)
        for name, factory in known.items()
        for setting in inspect.signature(factory).parameters.values()
        if setting.default is not inspect.Parameter.empty
    }


def finish(
    out: Path, title: str, section: Section, tables: Sequence[Table], results: Results,
    known: Mapping[str, Callable[..., object]], *, json_: bool, besides: Results | None = None,
) -> None:  # fmt: skip
    """Write the page, print the tables, whose lines are the same, and fail if a trial failed, or one of ``besides``.

    The page names the data, the settings of the trials, the defaults of the criteria in ``known``, and the machine.
    """
    from nervure import report, study
    from nervure.evidence import Table
    from nervure.store.run import versions

    settings = {**study.settings_of(results, arms=False), **defaults(known)}
    told = report.Section(
        "Settings",
        f"Made on {made}." if (made := study.machines(results)) else "",
        [Table(title="Settings", alt="Of the trials, and of each criterion.", columns=("setting", "value"),
               rows=list(settings.items()))],
    )  # fmt: skip
    html = report.page(title, [section, told], eyebrow="comparison", versions=versions())
    page = report.write(out / "compare.html", html, overwrite=True)
    if json_:
        print_json({"page": str(page), "rows": rows_of(tables)})
    else:
        for table in tables:
            print_figure(table)
        sys.stdout.write(f"{page}\n")
    if failed := [*results.failed, *(besides.failed if besides else ())]:
        raise NervureError(f"{len(failed)} trials failed; the first, {failed[0].trial}: {failed[0].error}")
