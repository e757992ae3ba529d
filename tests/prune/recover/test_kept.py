from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nervure import nets, prune
from nervure.errors import InputError
from nervure.prune.recover.kept import consumers, kept_outputs, matched_rows, other_consumers

Make = Callable[..., nn.Module]


@given(st.sets(st.integers(0, 9), min_size=1), st.sets(st.integers(0, 5), min_size=1), st.integers(0, 99))
def test_rows_are_found_whichever_columns_went(rows: set[int], columns: set[int], seed: int) -> None:
    whole = torch.randn(10, 6, 3, generator=torch.Generator().manual_seed(seed))
    part = whole[sorted(rows)][:, sorted(columns)]
    assert matched_rows(part, whole).tolist() == sorted(rows)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["resnet20", "small-cnn"])
@pytest.mark.parametrize("criterion", ["l1", "random"])
def test_found_as_the_plan_says(name: str, criterion: str) -> None:
    net = nets.build(name, in_shape=(3, 16, 16), classes=4, **({"head": [64]} if name == "small-cnn" else {}))
    plan = prune.plan(net, None, criterion, prune.Target(keep=0.5))
    small = plan.apply(net)
    assert consumers(small, net)
    for layer, units in plan.kept.items():
        assert kept_outputs(small, net, layer, {}).tolist() == list(units)
        assert kept_outputs(small, net, layer, plan.kept).tolist() == list(units)


def test_unclear_rows_are_not_guessed() -> None:
    whole = torch.tensor([[1.0, 2.0], [1.0, 2.0], [3.0, 4.0]])
    assert matched_rows(whole[:2], whole) is None
    assert matched_rows(torch.tensor([[3.0], [1.5]]), whole) is None
    assert matched_rows(torch.zeros(1, 2), torch.zeros(2, 2)) is None
    # A row that was put together of two is no row.
    assert matched_rows(torch.tensor([[1.0, 4.0]]), torch.tensor([[1.0, 2.0], [3.0, 4.0]])) is None


def test_trained_weights_need_the_plan() -> None:
    net = nn.Sequential(nn.Linear(4, 6))
    small = nn.Sequential(nn.Linear(4, 3))
    with pytest.raises(InputError, match="give kept=plan"):
        kept_outputs(small, net, "0", {})
    assert kept_outputs(small, net, "0", {"0": [1, 2, 5]}).tolist() == [1, 2, 5]
    for wrong in ([1, 2], [1, 2, 6]):
        with pytest.raises(InputError, match="give the plan that made this network"):
            kept_outputs(small, net, "0", {"0": wrong})


def test_depthwise_is_no_consumer(thinned: Make) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 2, 1))
    kept = [1, 5]
    assert consumers(thinned(net, [("0", "out", kept), ("1", "through", kept), ("2", "in", kept)]), net) == ("2",)


def test_readers_that_no_estimate_repairs_are_named() -> None:
    whole = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ConvTranspose2d(4, 2, 1))
    part = nn.Sequential(nn.Conv2d(1, 3, 1), nn.ConvTranspose2d(3, 2, 1))
    assert (consumers(part, whole), other_consumers(part, whole)) == ((), ("1",))
    assert other_consumers(whole, whole) == ()
