from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nervure import prune
from nervure.data import from_arrays
from nervure.data.dataset import Batch, Dataset
from nervure.errors import InputError
from nervure.judge import judge


class Two(nn.Module):
    """Reads what the data has no place for."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(3, 8), nn.Linear(2, 4), nn.Linear(12, 2)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.c(torch.cat([self.a(x).relu(), self.b(y).relu()], 1))


@pytest.fixture
def ds() -> Dataset:
    x = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
    return from_arrays(x, np.arange(40) % 2, validation=0, test=0)


def loss(net: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
    assert batch.y is not None
    return F.cross_entropy(net(batch.x, batch.x[:, :2]), batch.y), {}


EXAMPLE = [torch.randn(3, 3), torch.randn(3, 2)]
NAMES = ("majority-vote", "apoz", "taylor", "lrp", "batch-norm-scale", "hrank", "thinet", "nisp", "ablation")


@pytest.mark.parametrize("objective", [None, loss])
@pytest.mark.parametrize("name", NAMES)
def test_networks_of_two_inputs_are_judged_or_refused(
    name: str, objective: Callable[..., object] | None, ds: Dataset
) -> None:
    how = {"target": prune.Target(keep=0.5), "example": EXAMPLE, "objective": objective}
    if name == "ablation" and objective is not None:
        assert prune.plan(Two(), ds, name, **how).widths["a"] == (8, 4)  # type: ignore[arg-type]
        return
    with pytest.raises(InputError, match="Two reads 2 tensors, and a batch of samples is one"):
        prune.plan(Two(), ds, name, **how)  # type: ignore[arg-type]


def test_criteria_of_weights_or_ones_own_objective_judge_them(ds: Dataset) -> None:
    taylor = prune.criteria.make("taylor", settings={"tensor": "pre_bn"})
    for criterion, objective in (("l1", None), (taylor, loss)):
        how = {"target": prune.Target(keep=0.5), "example": EXAMPLE, "objective": objective}
        assert prune.plan(Two(), ds, criterion, **how).widths["a"] == (8, 4)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["majority-vote", "apoz", "batch-norm-scale", "hrank", "nisp"])
def test_weights_of_another_type_are_named(name: str, ds: Dataset) -> None:
    net = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)).double()
    layers = prune.layers(net, torch.randn(3, 3, dtype=torch.float64))
    with pytest.raises(InputError, match=r"is float64, and samples are float32; call .float\(\) on a copy"):
        judge(net, [ds.batch(range(20))], {name: prune.criteria.make(name)}, layers=layers)
