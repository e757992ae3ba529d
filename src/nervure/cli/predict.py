"""``nervure predict``: a run's answers for new samples."""

from __future__ import annotations

import csv
import io
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nervure.cli import options as opt
from nervure.cli.common import check_device, check_file, load_run, pairs, set_threads
from nervure.cli.console import as_json, print_json, say
from nervure.cli.samples import new_samples, pictures
from nervure.errors import InputError

if TYPE_CHECKING:
    from nervure.data import Dataset
    from nervure.store import Run

Row = tuple[str, list[float]]
CHOICES = ("classification", "clustering")
"""Tasks whose answers are probabilities of what there is to choose from."""

SKIP = "--data-option on_corrupt=skip"
"""What leaves out pictures that cannot be decoded, where a command has no option of its own for it."""


def command(
    run: opt.RunFolder,
    sources: Annotated[list[str], typer.Argument(help="Pictures, folders, or files of samples.", metavar="SOURCES")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="A .csv or .json file; CSV on stdout if not given.", metavar="FILE"),
    ] = None,
    data_option: opt.DataOption = None,
    data_dir: opt.DataDir = None,
    skip_corrupt: Annotated[
        bool, typer.Option("--skip-corrupt", help="Leave out pictures that cannot be decoded.", metavar="")
    ] = False,
    net: opt.NetFunction = None,
    batch: Annotated[int, typer.Option(help="Samples at a time.", metavar="N", min=1)] = 256,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    overwrite: opt.Replace = False,
    json_: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Write a label, or a cluster, and the probabilities for each sample (or the outputs, for other tasks).

    Pictures are brought to the size and the channels that the network reads; other samples must have its shape,
    but series may be shorter if it reads unequal lengths.

    Examples:

    $ nervure predict runs/base new/ -o labels.csv

    $ nervure predict runs/base a.png b.png
    """
    set_threads(threads)
    check_device(device)
    check_file(out, overwrite, (".csv", ".json"))
    held = load_run(run, net)
    options = pairs(data_option, "--data-option") | ({"on_corrupt": "skip"} if skip_corrupt else {})
    rows: list[Row] = []
    for ds in sets_of(held, sources, data_dir, options, skip="--skip-corrupt"):
        rows += rows_of(held, ds, batch, device)
    if out is None:
        sys.stdout.write(_as_json(held, rows) if json_ else _as_csv(held, rows))
        return
    from nervure.store.atomic import write_text

    write_text(out, _as_json(held, rows) if out.suffix == ".json" else _as_csv(held, rows))
    if json_:
        print_json({"file": str(out), "samples": len(rows)})
    say(f"wrote {len(rows)} rows to {out}", quiet=quiet)


def sets_of(
    run: Run, sources: Sequence[str], data_dir: Path | None, options: dict[str, Any], skip: str = SKIP
) -> Iterator[Dataset]:
    """A data set for each source; picture files in a row make one. ``skip`` is what a command calls leaving one out."""
    from nervure.data.pictures import SUFFIXES

    def single(source: str) -> bool:
        return Path(source).suffix.lower() in SUFFIXES and not Path(source).is_dir()

    try:
        for alone, group in itertools.groupby(sources, single):
            if alone:
                yield pictures(run, list(group), skip_corrupt=options.get("on_corrupt") == "skip")
            else:
                yield from (new_samples(run, source, data_dir, options) for source in group)
    except InputError as error:
        raise InputError(str(error).replace(SKIP, skip).replace("on_corrupt='skip'", skip)) from error


def rows_of(run: Run, ds: Dataset, batch: int, device: str) -> list[Row]:
    """Each sample's name with its probabilities, or its outputs."""
    import numpy as np
    from scipy.special import softmax

    from nervure.data.folder import spelt
    from nervure.train import predict

    out = predict(run, ds, batch=batch, device=device)
    values = out.reshape(len(out), -1).astype(np.float64)
    if run.task in CHOICES:
        values = softmax(values, axis=1)
    samples = ds.items or tuple(f"{ds.source}[{place}]" for place in range(len(ds)))
    return list(zip(map(spelt, samples), values.tolist(), strict=True))


def _best(run: Run, values: list[float]) -> str:
    return run.names[values.index(max(values))]


def _shown(values: list[float]) -> list[float]:
    """Probabilities as they are written; the best is chosen before, for two may be alike when they are rounded."""
    return [round(value, 6) for value in values]


def _as_json(run: Run, rows: Sequence[Row]) -> str:
    if run.task not in CHOICES:
        return as_json([{"sample": sample, "output": values} for sample, values in rows])
    return as_json(
        [
            {
                "sample": sample,
                "label": _best(run, values),
                "probabilities": dict(zip(run.names, _shown(values), strict=True)),
            }
            for sample, values in rows
        ]
    )


def _as_csv(run: Run, rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if run.task in CHOICES:
        writer.writerow(["sample", "label", *(f"p_{name}" for name in run.names)])
        writer.writerows([sample, _best(run, values), *_shown(values)] for sample, values in rows)
    else:
        writer.writerow(["sample", *(f"output_{place}" for place in range(len(rows[0][1])))])
        writer.writerows([sample, *values] for sample, values in rows)
    return text.getvalue()
