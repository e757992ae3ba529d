from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from nervure import objectives
from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.objectives.reconstruction import Reconstruction, reconstruction_loss
from nervure.objectives.soft_dtw import soft_dtw, soft_dtw_divergence


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


class TestLoss:
    lengths = (4, 1, 2)
    mask = torch.arange(4) < torch.tensor(lengths)[:, None]

    def test_sum_and_mean_by_hand(self) -> None:
        """Sum over a sample's values, mean over samples; the mean is less by the number of values."""
        x = torch.zeros(2, 1, 2, 2)
        out = torch.tensor([[[[1.0, 2.0], [0.0, 0.0]]], [[[0.0, 3.0], [0.0, 1.0]]]])
        assert float(reconstruction_loss(out, x)) == (5 + 10) / 2
        assert float(reconstruction_loss(out, x, reduction="mean")) == (5 + 10) / 2 / 4

    @pytest.mark.parametrize("reduction", ["sum", "mean"])
    def test_padding_never_counts(self, reduction: str) -> None:
        x, out = torch.randn(3, 2, 4), torch.randn(3, 2, 4)
        squares = [np.square((out - x)[row, :, :m].numpy()) for row, m in enumerate(self.lengths)]
        expected = np.mean([one.sum() if reduction == "sum" else one.mean() for one in squares])
        assert float(reconstruction_loss(out, x, self.mask, reduction)) == pytest.approx(expected, rel=1e-5)
        padded = out.masked_fill(~self.mask[:, None], float("nan")).requires_grad_()
        loss = reconstruction_loss(padded, x, self.mask, reduction)
        loss.backward()
        assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
        assert torch.isfinite(padded.grad).all()

    @pytest.mark.parametrize("distance", ["soft-dtw", "soft-dtw-divergence"])
    def test_soft_dtw_by_sample(self, distance: str) -> None:
        x, out = torch.randn(3, 2, 4).double(), torch.randn(3, 2, 4).double()
        warp = soft_dtw if distance == "soft-dtw" else soft_dtw_divergence
        each = [float(warp(out[i : i + 1, :, :m], x[i : i + 1, :, :m], gamma=0.5)) for i, m in enumerate(self.lengths)]
        found = reconstruction_loss(out, x, self.mask, "sum", distance, gamma=0.5)
        assert float(found) == pytest.approx(np.mean(each), rel=1e-9)
        found = reconstruction_loss(out, x, self.mask, "mean", distance, gamma=0.5)
        per_value = [one / (2 * m) for one, m in zip(each, self.lengths, strict=True)]
        assert float(found) == pytest.approx(np.mean(per_value), rel=1e-9)

    def test_a_shift_in_time_costs_less_when_warped(self) -> None:
        x = torch.sin(torch.linspace(0, 12, 60)).reshape(1, 1, 60)
        late = x.roll(2, dims=2)
        flat = torch.zeros_like(x)
        warped = [float(reconstruction_loss(out, x, distance="soft-dtw-divergence", gamma=0.1)) for out in (late, flat)]
        squared = [float(reconstruction_loss(out, x)) for out in (late, flat)]
        assert warped[0] / warped[1] < squared[0] / squared[1]

    def test_half_precision_does_not_overflow(self) -> None:
        x = torch.zeros(2, 3, 32, 32, dtype=torch.float16)
        assert float(reconstruction_loss(x + 10, x)) == 3 * 32 * 32 * 100

    @pytest.mark.parametrize("distance", ["squared", "soft-dtw", "soft-dtw-divergence"])
    @pytest.mark.parametrize("reduction", ["sum", "mean"])
    def test_options_of_the_objective(self, distance: str, reduction: str) -> None:
        batch = Batch(torch.randn(3, 2, 4), None, torch.arange(3), self.mask)
        goal = objectives.make("reconstruction", {"reduction": reduction, "distance": distance, "gamma": 2.0})
        expected = reconstruction_loss(batch.x.tanh(), batch.x, self.mask, reduction, distance, 2.0)
        assert torch.equal(goal(nn.Tanh(), batch)[0], expected)

    def test_bad_input(self) -> None:
        for options, said in (
            ({"reduction": "none"}, "reduction = 'none'; give 'mean' or 'sum'"),
            ({"distance": "dtw"}, "distance = 'dtw'; give 'squared', 'soft-dtw' or"),
            ({"gamma": -1.0}, "gamma = -1"),
        ):
            with pytest.raises(InputError, match=said):
                objectives.make("reconstruction", options)
        with pytest.raises(InputError, match=r"distance 'soft-dtw' is for series, and samples are of \(1, 8, 8\)"):
            reconstruction_loss(torch.zeros(2, 1, 8, 8), torch.zeros(2, 1, 8, 8), distance="soft-dtw")
