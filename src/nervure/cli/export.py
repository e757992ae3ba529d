"""``nervure export``: a run's network as files that run elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nervure.cli import options as opt
from nervure.cli.common import data_of, pairs
from nervure.cli.console import print_figure, print_json, print_table, say
from nervure.errors import InputError


def command(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    onnx: Annotated[bool, typer.Option("--onnx", help="Write model.onnx.")] = False,
    pt2: Annotated[bool, typer.Option("--pt2", help="Write model.pt2 (torch.export).")] = False,
    safetensors: Annotated[bool, typer.Option("--safetensors", help="Write model.safetensors with metadata.")] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A folder; RUN/exports if not given.")] = None,
    latency: Annotated[bool, typer.Option(help="Measure latency in each engine.")] = True,
    batch: Annotated[int, typer.Option(help="Samples at a time in the measurement.", min=1)] = 1,
    data: opt.DataSource = None,
    data_option: Annotated[list[str] | None, typer.Option(help="A source's option, as key=value; repeatable.")] = None,
    data_dir: opt.DataDir = None,
    build: opt.NetFunction = None,
    threads: opt.Threads = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    json_: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Write files that run without Nervure, preprocessing and class names inside.

    Each file is run on real samples first, and is not kept if its answers differ.

    Examples:

      nervure export runs/base --onnx --pt2
    """
    from nervure import store
    from nervure.study.deploy import deploy

    asked = [name for name, wanted in (("onnx", onnx), ("pt2", pt2), ("safetensors", safetensors)) if wanted]
    if not asked:
        raise InputError("say what to write: --onnx, --pt2 or --safetensors")
    held = store.load(run, build=build)
    ds = data_of(held, data, data_dir, pairs(data_option or [], "--data-option"))
    files, table = deploy(
        held, ds, out or run / "exports", asked, measure=latency, batch=batch, threads=threads or 1, overwrite=overwrite,
        tell=lambda line: say(line, quiet=quiet),
    )  # fmt: skip
    rows = [(str(file.path), file.format, file.bytes, file.largest_difference, file.samples) for file in files]
    columns = ("file", "format", "bytes", "largest_difference", "samples")
    if json_:
        timings = [] if table is None else [dict(zip(table.columns, row, strict=True)) for row in table.rows]
        print_json({"files": [dict(zip(columns, row, strict=True)) for row in rows], "latency": timings})
        return
    print_table(columns, rows)
    if table is not None:
        print_figure(table)
