"""``nervure evaluate``: measure a run on its data, or on other data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nervure.cli import options as opt
from nervure.cli.common import data_of, pairs, set_threads
from nervure.cli.console import print_json, print_table


def command(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    split: Annotated[str, typer.Option(help="Which split: train, validation or test.")] = "test",
    data: opt.DataSource = None,
    data_option: Annotated[list[str] | None, typer.Option(help="A source's option, as key=value; repeatable.")] = None,
    data_dir: opt.DataDir = None,
    build: opt.NetFunction = None,
    batch: Annotated[int, typer.Option(help="Samples at a time.", min=1)] = 256,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    json_: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Measure a run: quality by its task, recall of each class, and cost.

    Examples:

      nervure evaluate runs/base

      nervure evaluate runs/base --data new_photos/ --json
    """
    from nervure import store, train

    set_threads(threads)
    held = store.load(run, build=build)
    ds = data_of(held, data, data_dir, pairs(data_option or [], "--data-option"))
    found = train.evaluate(held, ds, split=split, batch=batch, device=device)
    recall = found.evidence.get("recall")
    classes = [] if recall is None else list(zip(recall.bars, recall.values[0].tolist(), strict=True))  # type: ignore[attr-defined]
    if json_:
        print_json({"run": str(run), "split": split, "metrics": found.metrics, "recall": dict(classes)})
        return
    print_table(("measure", "value"), list(found.metrics.items()), title=f"{run}, split {split}")
    if classes:
        print_table(("class", "recall"), classes)
