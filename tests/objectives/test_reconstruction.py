from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.objectives.reconstruction import Reconstruction


class Shifted(nn.Module):
    def __init__(self, by: torch.Tensor) -> None:
        super().__init__()
        self.by = by

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.by


def test_padding_does_not_count_and_short_series_weigh_as_long_ones() -> None:
    by = torch.arange(24.0).reshape(3, 2, 4)
    lengths = [4, 1, 2]
    mask = torch.arange(4) < torch.tensor(lengths)[:, None]
    found = Reconstruction()(Shifted(by), Batch(torch.randn(3, 2, 4), None, torch.arange(3), mask))[0]
    each = [np.square(by[row, :, :length].numpy()).mean() for row, length in enumerate(lengths)]
    assert float(found) == pytest.approx(np.mean(each), rel=1e-5)


def test_images() -> None:
    x = torch.rand(5, 3, 4, 4)
    found = Reconstruction()(nn.Tanh(), Batch(x, None, torch.arange(5)))[0]
    assert float(found) == pytest.approx(float(np.square(np.tanh(x.numpy()) - x.numpy()).mean()), rel=1e-6)


def test_a_network_that_gives_something_else() -> None:
    with pytest.raises(InputError, match=r"gives \(1,\) for samples of \(4,\); it needs an auto-encoder"):
        Reconstruction()(nn.Linear(4, 1), Batch(torch.zeros(2, 4), None, torch.arange(2)))
