from __future__ import annotations

import pytest
import torch

from nervure.errors import InputError
from nervure.train import runtime


def test_devices() -> None:
    assert runtime.pick_device("cpu") == torch.device("cpu")
    assert runtime.pick_device("auto").type in ("cpu", "cuda")
    with pytest.raises(InputError, match="unknown device 'gpu0'; there are: auto, cpu, cuda, cuda:N"):
        runtime.pick_device("gpu0")


def test_a_machine_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert runtime.pick_device("auto") == torch.device("cpu")
    for name in ("cuda", "cuda:1"):
        with pytest.raises(InputError, match=f"device '{name}': torch finds no CUDA device here; choose cpu or auto"):
            runtime.pick_device(name)


def test_alone_nothing_is_shared() -> None:
    assert runtime.all_sum({"a": 1.5, "b": 2.0}, torch.device("cpu")) == {"a": 1.5, "b": 2.0}
    assert runtime.largest_of_ranks(1.0, 0.5) == [1.0, 0.5]
    assert runtime.said_by_ranks("here") == ["here"]
    one = torch.ones(2)
    runtime.broadcast({"one": one})
    assert one.tolist() == [1.0, 1.0]


def test_a_fabric_alone() -> None:
    fabric = runtime.open_fabric("cpu")
    assert (fabric.world_size, fabric.global_rank, fabric.device) == (1, 0, torch.device("cpu"))
