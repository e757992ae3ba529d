from __future__ import annotations

import pytest
import torch

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.prune.criteria.rows import Rows


def test_the_first_examples_whatever_their_order() -> None:
    x = torch.randn(20, 3, 2, generator=torch.Generator().manual_seed(0))
    for order in (torch.arange(20), torch.arange(20).flip(0), torch.randperm(20)):
        rows, other = Rows(4), Rows(4)
        for i, at in enumerate(order.split(3)):
            (rows if i % 2 else other).update(x[at], Batch(x[at], None, at))
        rows.merge(other)
        assert torch.allclose(rows.result(), x[:4].mean(2))
        assert torch.equal(Rows(4).continued(rows.state()).result(), rows.result())


def test_nan_is_seen() -> None:
    rows = Rows(4)
    rows.update(torch.tensor([[float("nan")]]), None)
    assert not rows.finite()


def test_steps_folded_into_the_batch_are_positions() -> None:
    x = torch.randn(6, 4, 3, 2, generator=torch.Generator().manual_seed(0))
    rows = Rows(2)
    for at in torch.arange(6).split(3):
        rows.update(x[at].flatten(0, 1), Batch(x[at], None, at))
    assert torch.allclose(rows.result(), x[:2].mean((1, 3)))


def test_rows_that_no_example_claims_are_refused() -> None:
    with pytest.raises(InputError, match="7 rows for 6 examples.*batch_first=True"):
        Rows(2).update(torch.zeros(7, 3), Batch(torch.zeros(6, 1), None, torch.arange(6)))
