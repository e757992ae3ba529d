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
    from nervure.registry import Row
    from nervure.train import Progress

__all__ = [
    "as_json",
    "judging_bar",
    "number",
    "print_figure",
    "print_json",
    "print_rows",
    "print_table",
    "say",
    "training_bar",
]


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


def print_rows(kind: str, rows: Mapping[str, Row], json_: bool) -> None:
    """What a table holds, each in a line with its source; names of ``kind``."""
    if json_:
        print_json([{kind: name, "line": row.line, "source": row.source} for name, row in rows.items()])
    else:
        print_table((kind, "what it does", "source"), [(name, row.line, row.source) for name, row in rows.items()])


SHORT = 30
"""Characters of a cell that is a name or a figure, which is not to be broken; longer ones are text, and wrap."""


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """The result for people, on stdout: first column to the left, numbers to the right.

    Columns that a terminal is too narrow for are printed below the others, with the first one again. Names and figures
    are not broken where they fit, and no text is cut off.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200)
    if title:
        console.print(Text(title), soft_wrap=True)
    cells = [[number(cell) for cell in row] for row in rows]
    widths = [max(map(len, (column, *(row[at] for row in cells)))) for at, column in enumerate(columns)]
    room = console.width - 2
    least = [min(width, SHORT) for width in widths]
    least[0] = min(least[0], room // 2)
    for block in blocks(least, room):
        left = room - sum(least[place] + 3 for place in block)
        table = RichTable(box=box.SIMPLE_HEAD)
        for place in block:
            figures = all(isinstance(row[place], int | float) or row[place] is None for row in rows)
            table.add_column(
                Text(columns[place]),
                justify="right" if figures and place else "left",
                min_width=None if place else least[0],
                max_width=least[place] + left if place else None,
                overflow="fold",
            )
        for row in cells:
            table.add_row(*(Text(row[place]) for place in block))
        console.print(table)


def blocks(widths: Sequence[int], room: int) -> list[list[int]]:
    """Which columns of these least widths are printed together: as many at a time as fit, each time with the first.

    >>> blocks([10, 8, 8, 8], room=35), blocks([10, 8, 30], room=35), blocks([4, 8], room=35)
    ([[0, 1, 2], [0, 3]], [[0, 1], [0, 2]], [[0, 1]])
    """
    found: list[list[int]] = [[0]]
    for place in range(1, len(widths)):
        if len(found[-1]) > 1 and sum(widths[one] + 3 for one in (*found[-1], place)) > room:
            found.append([0])
        found[-1].append(place)
    return found


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
    """Progress of training: a line an epoch, and on a terminal a bar with rate and time left below them."""
    if quiet:
        yield lambda where: None
    elif not sys.stderr.isatty():
        yield lambda where: _lines(where, say)
    else:
        from rich import progress as rich
        from rich.console import Console

        bars = rich.Progress(
            rich.TextColumn("epoch {task.fields[epoch]}"),
            rich.BarColumn(bar_width=20),
            rich.TaskProgressColumn(),
            rich.TextColumn("{task.fields[rate]}"),
            rich.TimeRemainingColumn(compact=True),
            rich.TextColumn("left"),
            console=Console(stderr=True),
            transient=True,
        )
        task = bars.add_task("training", total=None, epoch="1", rate="")

        def show(where: Progress) -> None:
            bars.start()
            done = where.epoch * where.steps + (where.step if where.row is None else 0)
            speed = bars.tasks[0].speed
            _lines(where, lambda line: bars.console.print(line, highlight=False, markup=False, soft_wrap=True))
            bars.update(
                task,
                total=where.epochs * where.steps,
                completed=done,
                epoch=f"{min(where.epoch + 1, where.epochs)}/{where.epochs}{_stage(where)}",
                rate=f"{speed:.0f} steps/s" if speed else "",
            )

        try:
            yield show
        finally:
            bars.stop()


def _lines(where: Progress, tell: Callable[[str], None]) -> None:
    if where.row is not None:
        tell(f"epoch {where.epoch}/{where.epochs}{_stage(where)}  {_row(where.row)}")


def _stage(where: Progress) -> str:
    return f", {where.stage}" if where.stage else ""


def _row(row: Mapping[str, float | int | str | None]) -> str:
    """An epoch's measures, by the split that they are of.

    >>> _row({"epoch": 1, "train_loss": 2.26, "train_accuracy": 0.5, "validation_loss": 1.8623, "seconds": 0.41})
    'train loss 2.26, accuracy 0.5 | validation loss 1.862 | 0.41 s'
    """
    loss_first = sorted(row.items(), key=lambda pair: not pair[0].endswith("_loss"))
    values = {name: value for name, value in loss_first if isinstance(value, float)}
    parts = []
    for split in ("train", "validation"):
        of = {name.removeprefix(f"{split}_"): value for name, value in values.items() if name.startswith(f"{split}_")}
        if of:
            parts.append(f"{split} " + ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in of.items()))
    rest = {key: value for key, value in values.items() if not key.startswith(("train_", "validation_"))}
    parts += [f"{name.replace('_', ' ')} {value:.4g}" for name, value in rest.items() if name not in ("lr", "seconds")]
    return " | ".join([*parts, *([f"{rest['seconds']:.3g} s"] if "seconds" in rest else [])])


def _plain(data: object) -> object:
    if isinstance(data, Mapping):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    if isinstance(data, float) and not math.isfinite(data):
        return None
    return data


@contextlib.contextmanager
def judging_bar(quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Samples judged, with the time left, on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich import progress as rich
    from rich.console import Console

    columns = (rich.TextColumn("{task.description}"), rich.BarColumn(), rich.MofNCompleteColumn())
    bars = rich.Progress(*columns, rich.TimeRemainingColumn(), console=Console(stderr=True))
    task = bars.add_task("judging", total=None)

    def show(done: int, total: int) -> None:
        bars.start()
        bars.update(task, completed=done, total=total)
        if done >= total:  # what comes after the pass may show progress of its own
            bars.stop()

    try:
        yield show
    finally:
        bars.stop()
