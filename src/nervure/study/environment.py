"""What a trial ran on, without naming the machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

import torch

from nervure.store.run import versions
from nervure.train.runtime import pick_device

__all__ = ["cores", "environment", "machine"]


def environment(device: str = "auto") -> dict[str, str | int]:
    """Versions, processor, device and threads, as JSON data; no host name and no path.

    >>> sorted(environment("cpu"))
    ['cores', 'cpu', 'device', 'nervure', 'numpy', 'python', 'threads', 'torch']
    """
    place = pick_device(device)
    name = torch.cuda.get_device_name(place) if place.type == "cuda" else "cpu"
    return {
        **versions(),
        "cpu": _processor(),
        "cores": cores(),
        "device": name,
        "threads": torch.get_num_threads(),
    }


def machine(found: Mapping[str, str | int]) -> str:
    """An environment in a few words.

    >>> machine({"device": "cpu", "cpu": "a", "threads": 1, "torch": "2"})
    'cpu (a, 1 thread, torch 2)'
    """
    threads = f"{found['threads']} thread{'s' * (found['threads'] != 1)}"
    return f"{found['device']} ({found['cpu']}, {threads}, torch {found['torch']})"


def cores() -> int:
    """Processor cores that this process may use.

    >>> cores() >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
