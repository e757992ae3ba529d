"""What the command line shows: progress on stderr, results on stdout."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nervure.evidence import Table
    from nervure.train import Progress

__all__ = ["as_json", "number", "print_figure", "print_json", "print_table", "say", "training_bar"]


def say(text: str, *, quiet: bool = False) -> None:
    """A line for the person at the terminal, on stderr."""
    if not quiet:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def as_json(data: object) -> str:
    """Text for machines; numbers that JSON lacks become null.

    >>> as_json({"a": float("nan")})
    '{\\n "a": null\\n}\\n'
    """
    return json.dumps(_plain(data), indent=1, ensure_ascii=False) + "\n"


def print_json(data: object) -> None:
    """The result for machines, on stdout."""
    sys.stdout.write(as_json(data))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """The result for people, on stdout: first column to the left, numbers to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    table = RichTable(title=Text(title) if title else None, box=box.SIMPLE_HEAD, title_justify="left")
    for place, column in enumerate(columns):
        figures = all(isinstance(row[place], int | float) or row[place] is None for row in rows)
        table.add_column(Text(column), justify="right" if figures and place else "left")
    for row in rows:
        table.add_row(*(Text(number(cell)) for cell in row))
    wide = None if sys.stdout.isatty() else 200
    Console(file=sys.stdout, width=wide).print(table)


def print_figure(table: Table) -> None:
    """A table kept as evidence, on stdout."""
    print_table(table.columns, table.rows, table.title)


def number(value: object) -> str:
    """A cell as people read it: whole numbers with separators, others with four significant digits.

    >>> number(61706), number(0.123456), number(None), number("a")
    ('61,706', '0.1235', '-', 'a')
    """
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return (
        f"{int(value):,}"
        if (float(value).is_integer() and abs(value) >= 1000) or isinstance(value, int)
        else f"{value:.4g}"
    )


@contextlib.contextmanager
def training_bar(quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """Progress of training: a bar with rate and time left on a terminal, a line an epoch elsewhere."""
    if quiet:
        yield lambda where: None
    elif not sys.stderr.isatty():
        yield _lines
    else:
        from rich import progress as rich
        from rich.console import Console

        with rich.Progress(
            rich.TextColumn("{task.description}"),
            rich.BarColumn(),
            rich.MofNCompleteColumn(),
            rich.TextColumn("{task.fields[rate]}"),
            rich.TimeRemainingColumn(),
            rich.TextColumn("{task.fields[row]}"),
            console=Console(stderr=True),
        ) as bars:
            task = bars.add_task("training", total=None, rate="", row="")

            def show(where: Progress) -> None:
                done = where.epoch * where.steps + (where.step if where.row is None else 0)
                speed = bars.tasks[0].speed
                if where.row is not None:
                    bars.update(task, row=_row(where.row))
                bars.update(
                    task,
                    total=where.epochs * where.steps,
                    completed=done,
                    description=f"epoch {min(where.epoch + 1, where.epochs)}/{where.epochs}",
                    rate=f"{speed:.1f} steps/s" if speed else "",
                )

            yield show


def _lines(where: Progress) -> None:
    if where.row is not None:
        say(f"epoch {where.epoch}/{where.epochs}  {_row(where.row)}")


def _row(row: Mapping[str, float | int | str | None]) -> str:
    shown = {name: value for name, value in row.items() if isinstance(value, float) and name not in {"lr"}}
    return "  ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in shown.items())


def _plain(data: object) -> object:
    if isinstance(data, Mapping):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    if isinstance(data, float) and not math.isfinite(data):
        return None
    return data
