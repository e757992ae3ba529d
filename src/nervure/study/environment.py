"""What a trial ran on, without naming the machine."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch

from nervure.store.run import versions
from nervure.train.runtime import pick_device, processor

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
        "cpu": processor(),
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
