from __future__ import annotations

import torch

from nervure.data.dataset import Batch
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
