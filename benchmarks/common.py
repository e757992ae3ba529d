"""What benchmarks share: the machine in words, quartiles, and results as JSON."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from nervure.store.atomic import write_json
from nervure.store.run import versions
from nervure.train.runtime import processor

__all__ = ["machine", "quartiles", "write_result"]


def machine(threads: int) -> dict[str, object]:
    """Processor, cores, threads and versions; nothing that names the machine or its owner."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load_before": round(os.getloadavg()[0], 2),
        "device": device,
        "torch": torch.__version__,
        "versions": versions(),
    }


def quartiles(values: Sequence[float]) -> dict[str, float]:
    """Median and the quartiles around it."""
    low, median, high = statistics.quantiles(values, n=4)
    return {"low": low, "median": median, "high": high}


def write_result(path: Path, result: Mapping[str, object]) -> None:
    """Write a result, whole or not at all, and show it."""
    write_json(path, dict(result))
    print(json.dumps(result, indent=1))
    print(f"wrote {path}")
