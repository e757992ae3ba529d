"""``nervure evaluate``: measure a run on its data, or on other data."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from nervure.cli import options as opt
from nervure.cli.common import check_device, load_run, pairs, set_threads
from nervure.cli.console import print_json, print_table
from nervure.cli.samples import data_of
from nervure.errors import InputError
from nervure.registry import nearest

if TYPE_CHECKING:
    from nervure.data import Dataset


def command(
    run: opt.RunFolder,
    split: Annotated[
        str | None,
        typer.Option(
            help="Which split: train, validation, test, or all of them; test if not given, or all where a clusterer's "
            "data has no test split.",
            metavar="NAME",
        ),
    ] = None,
    data: opt.DataSource = None,
    data_option: opt.DataOption = None,
    data_dir: opt.DataDir = None,
    net: opt.NetFunction = None,
    batch: Annotated[int, typer.Option(help="Samples at a time.", metavar="N", min=1)] = 256,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    json_: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Measure a run: quality by its task, recall of each class, and cost.

    Other data is cut into splits as when training on it; give --split all to measure every sample.

    Examples:

    $ nervure evaluate runs/base

    $ nervure evaluate runs/base --data new_photos/ --split all --json
    """
    import numpy as np

    from nervure import train

    set_threads(threads)
    check_device(device)
    held = load_run(run, net)
    ds = data_of(held, data, data_dir, pairs(data_option, "--data-option"))
    split = split or ("all" if held.task == "clustering" and "test" not in ds.splits else "test")
    ds = _with_all(ds, split)
    found = train.evaluate(held, ds, split=split, batch=batch, device=device)
    recall = found.evidence.get("recall")
    classes = [] if recall is None else list(zip(recall.bars, recall.values[0].tolist(), strict=True))  # type: ignore[attr-defined]
    at = ds.splits[split]
    without = int(np.count_nonzero(ds.y[at] == -1)) if held.task == "classification" and ds.y is not None else 0
    count = len(at) - without
    if json_:
        measured = {"run": str(run), "data": ds.source, "split": split, "samples": count, "without_label": without}
        print_json({**measured, "metrics": found.metrics, "recall": dict(classes)})
        return
    rows = list(found.metrics.items())
    left_out = f" ({without:,} more have no label)" if without else ""
    print_table(("measure", "value"), rows, title=f"{run} on {ds.source}, split {split}, {count:,} samples{left_out}")
    if classes:
        print_table(("class", "recall"), classes)


def _with_all(ds: Dataset, split: str) -> Dataset:
    known = {**ds.splits, "all": ds.indices()}
    if split not in known:
        raise InputError(f"{ds.source}: unknown split {split!r}; {nearest(split, tuple(known))}")
    return dataclasses.replace(ds, splits=known)
