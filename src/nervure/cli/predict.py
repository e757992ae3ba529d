"""``nervure predict``: a run's answers for new samples."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nervure.cli import options as opt
from nervure.cli.common import fits, load_data, pairs, set_threads
from nervure.cli.console import as_json, say
from nervure.errors import InputError

if TYPE_CHECKING:
    from nervure.data import Dataset
    from nervure.store import Run


def command(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    sources: Annotated[list[str], typer.Argument(help="Files or folders of samples.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A .csv or .json file; stdout if not given.")] = None,
    data_option: Annotated[list[str] | None, typer.Option(help="A source's option, as key=value; repeatable.")] = None,
    data_dir: opt.DataDir = None,
    skip_corrupt: Annotated[bool, typer.Option("--skip-corrupt", help="Leave out files that cannot be read.")] = False,
    build: opt.NetFunction = None,
    batch: Annotated[int, typer.Option(help="Samples at a time.", min=1)] = 256,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    json_: opt.Json = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out.")] = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Write a label and the probabilities for each sample (or the outputs, for other tasks).

    Examples:

      nervure predict runs/base new/ -o labels.csv

      nervure predict runs/base a.png b.png
    """
    from nervure import store

    set_threads(threads)
    as_json_file = json_ or (out is not None and out.suffix == ".json")
    if out is not None and out.suffix not in {".csv", ".json"}:
        raise InputError(f"{out}: the ending must be .csv or .json")
    if out is not None and out.exists() and not overwrite:
        raise InputError(f"{out} exists; give --overwrite to replace it")
    held = store.load(run, build=build)
    options = pairs(data_option or [], "--data-option") | ({"on_corrupt": "skip"} if skip_corrupt else {})
    rows: list[dict[str, Any]] = []
    for source in sources:
        rows += _rows(held, _samples(held, source, data_dir, options), source, batch, device)
    text = as_json(rows) if as_json_file else _as_csv(rows)
    if out is None:
        typer.echo(text, nl=False)
    else:
        from nervure.store.atomic import write_text

        write_text(out, text)
        say(f"wrote {len(rows)} rows to {out}", quiet=quiet)


def _samples(run: Run, source: str, data_dir: Path | None, options: dict[str, Any]) -> Dataset:
    """New samples in the shape that the network reads; pictures are brought to its size."""
    import dataclasses

    from nervure.data import sources

    picture = run.kind == "image" and source not in sources
    if picture and Path(source).suffix.lower() not in {".npz", ".npy", ".gz"} and ":" not in source:
        options = {
            "size": run.in_shape[-1] if len(set(run.in_shape[1:])) == 1 else list(run.in_shape[1:]),
            **options,
        }
        options.setdefault("channels", run.in_shape[0])
    ds = load_data(source, data_dir, {"standardize": False, **options})
    fits(run, dataclasses.replace(ds, task="none"))
    return dataclasses.replace(ds, preprocessing=run.preprocessing)


def _rows(run: Run, ds: Dataset, source: str, batch: int, device: str) -> list[dict[str, Any]]:
    import numpy as np

    from nervure.train import predict

    out = predict(run, ds, batch=batch, device=device)
    samples = ds.items or tuple(f"{source}[{place}]" for place in range(len(ds)))
    if run.task != "classification":
        flat = out.reshape(len(out), -1)
        return [
            {"sample": sample, **{f"output_{place}": float(value) for place, value in enumerate(values)}}
            for sample, values in zip(samples, flat, strict=True)
        ]
    scores = out.astype(np.float64)
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return [
        {
            "sample": sample,
            "label": run.names[int(values.argmax())],
            **{f"p_{name}": round(float(value), 6) for name, value in zip(run.names, values, strict=True)},
        }
        for sample, values in zip(samples, shares, strict=True)
    ]


def _as_csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
