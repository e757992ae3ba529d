"""The zoo of strange networks, and a criterion, for this folder's tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import nn

from nervure.judge import Criterion, Judgement, Layer
from zoo import ZOO, make


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes ``strange`` runs on every network of the zoo."""
    if "strange" in metafunc.fixturenames:
        metafunc.parametrize("strange", sorted(ZOO))


@pytest.fixture
def zoo() -> Callable[[str], tuple[nn.Module, tuple[int, ...]]]:
    return make


class WeightNorm(Criterion):
    """L1 norm of each unit's weights, of any layer."""

    def judge(self, layer: Layer, weights: object, results: object, probe: object = None) -> Judgement:
        weight = layer.module.weight.detach()
        axis = int(getattr(layer.module, "transposed", False))
        return Judgement(weight.movedim(axis, 0).flatten(1).abs().sum(1))


@pytest.fixture
def norm() -> Criterion:
    return WeightNorm()
