from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture
from torch import Tensor

from nervure.cluster.density import bic, free_parameters, separation


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_the_criterion_is_scikit_learns(kind: str, latents: Tensor) -> None:
    x = latents.double().numpy()
    theirs = GaussianMixture(4, covariance_type=kind, random_state=0).fit(x)
    count = free_parameters(4, 3, diagonal=kind == "diag")
    assert bic(float(theirs.score_samples(x).sum()), count, len(x)) == pytest.approx(theirs.bic(x), rel=1e-12)


def normal(count: int, dims: int, seed: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(count, dims, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("dims", [1, 2, 10])
@pytest.mark.parametrize("stretch", [1.0, 8.0])
def test_halves_of_one_gaussian_are_one(dims: int, stretch: float) -> None:
    points = normal(800, dims, 0)
    points[:, 0] *= stretch
    for axis in {0, dims - 1}:
        left = points[:, axis] < 0
        assert separation(points[left], points[~left]) <= 0


def test_the_gain_of_halves_is_the_closed_form() -> None:
    """Halves of a normal line: half the log of 1 / (1 - 2 / pi), less log 2; large numbers leave no penalty."""
    points = normal(400_000, 1, 1)
    expected = -0.5 * math.log(1 - 2 / math.pi) - math.log(2)
    assert separation(points[points[:, 0] < 0], points[points[:, 0] >= 0]) == pytest.approx(expected, abs=2e-3)


def test_halves_of_a_strip_are_one() -> None:
    strip = torch.rand(2000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    left = strip[:, 0] < 0.5
    assert separation(strip[left], strip[~left]) <= 0


@pytest.mark.parametrize(("apart", "two"), [(2.0, False), (5.0, True)])
def test_gaussians_are_two_from_a_distance_on(apart: float, two: bool) -> None:
    other = normal(500, 4, 3)
    other[:, 0] += apart
    assert (separation(normal(500, 4, 2), other) > 0) is two


def test_a_direction_of_little_spread_is_not_overlooked() -> None:
    """Their means are near by the spread as a whole, and far along the one direction that tells them apart."""
    one, other = normal(500, 3, 4), normal(500, 3, 5)
    for part in (one, other):
        part[:, 0] *= 0.1
        part[:, 1] *= 5
    other[:, 0] += 1.5
    assert separation(one, other) > 0


@pytest.mark.parametrize("dims", [12, 40])
def test_groups_cut_out_of_noise_in_many_dimensions_are_one(dims: int) -> None:
    from sklearn.cluster import KMeans

    points = normal(60, dims, 6)
    chosen = torch.from_numpy(KMeans(2, n_init=10, random_state=0).fit(points.numpy()).labels_)
    assert separation(points[chosen == 0], points[chosen == 1]) <= 0


@given(seed=st.integers(0, 1000), scale=st.floats(1e-3, 1e3), shift=st.floats(-100, 100))
def test_scale_place_and_order_change_nothing(seed: int, scale: float, shift: float) -> None:
    one, other = normal(40, 2, seed), normal(30, 2, seed + 1) + 4
    gain = separation(one, other)
    assert separation(one * scale + shift, other * scale + shift) == pytest.approx(gain, rel=1e-5, abs=1e-5)
    assert separation(other, one) == pytest.approx(gain, rel=1e-9, abs=1e-9)


def test_few_or_equal_members_are_one() -> None:
    assert separation(torch.zeros(3, 2).double(), torch.ones(9, 2).double()) == -math.inf
    assert not separation(torch.zeros(9, 2).double(), torch.zeros(9, 2).double()) > 0
    assert np.isfinite(separation(torch.zeros(9, 2).double(), torch.ones(9, 2).double()))
