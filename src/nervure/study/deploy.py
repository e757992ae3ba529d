"""deploy: a run's network as files, each checked on real samples, and their measured latency."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from nervure.data import Dataset
from nervure.evidence import Table
from nervure.export import Deployed, Exported, latency_table, write
from nervure.export.deployed import own_copy
from nervure.store import Run, annotate
from nervure.store.atomic import clear_errors, making

__all__ = ["deploy"]

_SAMPLES = 64  # real samples on which a file must agree with its network


def deploy(
    run: Run,
    ds: Dataset,
    out: Path | str,
    formats: Sequence[str],
    *,
    measure: bool = True,
    batch: int = 1,
    threads: int = 1,
    overwrite: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> tuple[list[Exported], Table | None]:
    """Write ``model.FORMAT`` into ``out`` for each format; with ``measure``, the latency table joins the run.

    Returns
    -------
    files, table
        What was written, and the table of measured latency (None without ``measure``).
    """
    at = ds.indices("test" if len(ds.splits.get("test", ())) else None)[:_SAMPLES]
    raw = ds.raw(at)
    mask = None if ds.mask is None else torch.from_numpy(np.ascontiguousarray(ds.mask[at]))
    files = []
    with clear_errors(out), making(Path(out)):
        for name in formats:
            tell(f"writing {name}, and running it on {len(at)} samples")
            files.append(
                write(
                    run.net, Path(out) / f"model.{name}", name, samples=raw, preprocessing=run.preprocessing,
                    names=run.names, task=run.task, mask=mask, overwrite=overwrite,
                )
            )  # fmt: skip
    if not measure:
        return files, None
    tell(f"measuring latency, batch {batch}, {threads} thread{'s' if threads > 1 else ''}")
    written = {file.format: file.path for file in files}
    engines = ("eager", "compiled", "onnxruntime") if "onnx" in written else ("eager", "compiled")
    table = latency_table(
        Deployed(own_copy(run.net), run.preprocessing, run.task), raw[:1].to(torch.float32), batch=batch,
        threads=threads, mask=None if mask is None else mask[:1], engines=engines, onnx_path=written.get("onnx"),
    )  # fmt: skip
    if run.path is not None:
        annotate(run.path, {"latency": table})
    return files, table
