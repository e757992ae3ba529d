"""Devices and processes: one Fabric that joins the group it finds, as under torchrun."""

from __future__ import annotations

import logging
import os
import platform
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor

from nervure.errors import InputError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = [
    "all_sum",
    "broadcast",
    "group_rank",
    "group_size",
    "largest_of_ranks",
    "open_fabric",
    "pick_device",
    "processor",
    "said_by_ranks",
    "sum_over_ranks",
]


def pick_device(device: str = "auto") -> torch.device:
    """The device that ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` stands for.

    >>> pick_device("cpu")
    device(type='cpu')
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"unknown device {device!r}; there are: auto, cpu, cuda, cuda:N") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device {device!r}: torch finds no CUDA device here; choose cpu or auto")
    return chosen


def processor() -> str:
    """The model of this machine's processor, in words.

    >>> processor() == processor().strip()
    True
    """
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def group_size() -> int:
    """How many processes the group has that started this one; 1 for a process alone."""
    return int(os.environ.get("WORLD_SIZE", 1))


def group_rank() -> int:
    """Which of the group's processes this one is, from 0; known before they meet."""
    return int(os.environ.get("RANK", 0))


def open_fabric(device: str = "auto", precision: str = "32-true") -> Fabric:
    """A launched Fabric: alone, or one of the processes of the group that started this one."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    chosen = pick_device(device)
    world, local = group_size(), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if world == 1:
            devices = 1 if chosen.index is None else [chosen.index]
            fabric = Fabric(accelerator=chosen.type, devices=devices, precision=precision)  # type: ignore[arg-type]
        else:
            strategy = DDPStrategy(
                process_group_backend="gloo" if chosen.type == "cpu" else "nccl", find_unused_parameters=True
            )
            fabric = Fabric(
                accelerator=chosen.type,
                devices=local,
                num_nodes=max(1, world // local),
                strategy=strategy,
                precision=precision,  # type: ignore[arg-type]
            )
        fabric.launch()
    return fabric


def all_sum(sums: Mapping[str, float], device: torch.device) -> dict[str, float]:
    """Sums over all ranks, the same on each; as they are when there is one."""
    if not _grouped() or not sums:
        return dict(sums)
    names = sorted(sums)
    packed = torch.tensor([sums[name] for name in names], dtype=torch.float64, device=device)
    dist.all_reduce(packed)
    dist.broadcast(packed, src=0)
    return dict(zip(names, packed.tolist(), strict=True))


def sum_over_ranks(value: Tensor) -> Tensor:
    """A tensor added up over all ranks, the same on each; itself when there is one."""
    if not _grouped():
        return value
    device = value.device
    total = value.cuda() if dist.get_backend() == "nccl" else value.cpu()
    total = total.clone()
    dist.all_reduce(total)
    dist.broadcast(total, src=0)
    return total.to(device)


def largest_of_ranks(*values: float) -> list[float]:
    """The largest of each value over all ranks."""
    if not _grouped():
        return list(values)
    packed = torch.tensor(values, dtype=torch.float64)
    if dist.get_backend() == "nccl":
        packed = packed.cuda()
    dist.all_reduce(packed, op=dist.ReduceOp.MAX)
    return packed.tolist()


def said_by_ranks(text: str) -> list[str]:
    """What each rank says, in their order."""
    if not _grouped():
        return [text]
    said = [""] * dist.get_world_size()
    dist.all_gather_object(said, text)
    return said


def broadcast(tensors: Mapping[str, Tensor]) -> None:
    """Overwrite tensors, in place, with those of rank 0."""
    if _grouped():
        for tensor in tensors.values():
            dist.broadcast(tensor, src=0)


def _grouped() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
