"""``nervure export``: a run's network as files that run elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nervure.cli import options as opt
from nervure.cli.common import check_file, load_run, pairs
from nervure.cli.console import print_figure, print_json, print_table, say
from nervure.cli.samples import data_of
from nervure.errors import InputError


def command(
    run: opt.RunFolder,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write model.onnx.", metavar="")] = False,
    pt2: Annotated[bool, typer.Option("--pt2", help="Write model.pt2 (torch.export).", metavar="")] = False,
    safetensors: Annotated[
        bool, typer.Option("--safetensors", help="Write model.safetensors with metadata.", metavar="")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A folder; RUN/exports if not given.", metavar="FOLDER")
    ] = None,
    latency: Annotated[bool, typer.Option(help="Measure latency in each engine.", metavar="")] = True,
    batch: Annotated[int, typer.Option(help="Samples at a time in the measurement.", metavar="N", min=1)] = 1,
    data: opt.DataSource = None,
    data_option: opt.DataOption = None,
    data_dir: opt.DataDir = None,
    net: opt.NetFunction = None,
    threads: opt.Threads = None,
    overwrite: opt.Replace = False,
    json_: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Write files that run without Nervure, preprocessing and class names inside.

    Each file is run on real samples first, and is not kept if its answers differ. Of the three, model.safetensors holds
    weights alone, with what scales the input as metadata.

    Examples:

    $ nervure export runs/base --onnx --pt2
    """
    from nervure.store import is_run
    from nervure.study.deploy import deploy

    asked = [name for name, wanted in (("onnx", onnx), ("pt2", pt2), ("safetensors", safetensors)) if wanted]
    if not asked:
        raise InputError("say what to write: --onnx, --pt2 or --safetensors")
    folder = out or run / "exports"
    if is_run(folder):
        raise InputError(
            f"{folder} is a run, whose own files these would replace; give another folder, or leave -o out"
        )
    for name in asked:
        check_file(folder / f"model.{name}", overwrite)
    held = load_run(run, net)
    ds = data_of(held, data, data_dir, pairs(data_option, "--data-option"))
    files, table = deploy(
        held, ds, folder, asked, measure=latency, batch=batch, threads=threads or 1, overwrite=overwrite,
        tell=lambda line: say(line, quiet=quiet),
    )  # fmt: skip
    rows = [(str(file.path), file.format, file.bytes, file.largest_difference, file.samples) for file in files]
    if json_:
        columns = ("file", "format", "bytes", "largest_difference", "samples")
        timings = [] if table is None else [dict(zip(table.columns, row, strict=True)) for row in table.rows]
        print_json({"files": [dict(zip(columns, row, strict=True)) for row in rows], "latency": timings})
        return
    print_table(("file", "format", "bytes", "largest difference", "samples"), rows)
    if table is not None:
        print_figure(table)
