"""The moves of sparse evolutionary training, against loops and counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nervure.errors import InputError
from nervure.prune.training.sparse import connection_probability, degrees, grown, random_mask, regrow, survivors


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("n_in", "n_out"), [(784, 1000), (1000, 1000), (3072, 4000)])
def test_the_first_masks_have_the_expected_number_within_four_deviations(n_in: int, n_out: int) -> None:
    p = connection_probability(n_in, n_out, 20)
    count = int(random_mask(n_out, n_in, 20, generator()).sum())
    assert abs(count - 20 * (n_in + n_out)) <= 4 * math.sqrt(n_in * n_out * p * (1 - p))


def test_published_expectations() -> None:
    assert sum(20 * (a + b) for a, b in ((784, 1000), (1000, 1000), (1000, 1000))) == 115_680
    assert sum(20 * (a + b) for a, b in ((3072, 4000), (4000, 1000), (1000, 4000))) == 341_440


def test_probability_is_at_most_one() -> None:
    assert connection_probability(4, 5, 20) == 1.0


@given(st.integers(0, 10_000), st.floats(0.05, 0.95))
def test_survivors_against_sorting(seed: int, zeta: float) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((7, 9)) < 0.6
    weight = np.where(mask, rng.normal(size=mask.shape).round(1), 0).astype(np.float32)
    stays = survivors(torch.tensor(weight), torch.tensor(mask), zeta).numpy()
    assert not (stays & ~mask).any()
    for sign in (weight >= 0, weight < 0):
        own = mask & sign
        gone = own & ~stays
        assert gone.sum() == math.floor(zeta * own.sum() + 1e-9)
        if gone.any() and (own & stays).any():
            assert np.abs(weight[gone]).max() <= np.abs(weight[own & stays]).min()


@given(st.integers(0, 10_000), st.integers(0, 80))
def test_regrowth_fills_empty_allowed_places_alone(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    mask, allowed = torch.tensor(rng.random((6, 10)) < 0.5), torch.tensor(rng.random((6, 10)) < 0.7)
    new = regrow(mask, count, generator(seed), allowed)
    assert not bool((new & (mask | ~allowed)).any())
    assert int(new.sum()) == min(count, int((~mask & allowed).sum()))


def test_regrowth_is_uniform() -> None:
    mask = torch.zeros(4, 5, dtype=torch.bool)
    mask[0] = True
    hits = sum(regrow(mask, 3, generator(seed)).int() for seed in range(2000))
    assert isinstance(hits, torch.Tensor)
    expected = 2000 * 3 / 15
    assert (hits[1:].float() - expected).abs().max() < 5 * math.sqrt(expected)
    assert hits[0].sum() == 0


def test_new_weights() -> None:
    new = torch.zeros(200, 50, dtype=torch.bool)
    new[:100] = True
    assert not grown(new, "zero", generator()).any()
    values = grown(new, "he", generator())
    assert not values[100:].any()
    assert float(values[:100].std()) == pytest.approx(math.sqrt(2 / 50), rel=0.05)
    with pytest.raises(InputError, match="'zero' or 'he'"):
        grown(new, "ones", generator())  # type: ignore[arg-type]


def test_degrees_by_loop() -> None:
    mask = random_mask(6, 8, 1, generator(3))
    into, out = degrees(mask)
    assert into.tolist() == [sum(bool(mask[i, j]) for j in range(8)) for i in range(6)]
    assert out.tolist() == [sum(bool(mask[i, j]) for i in range(6)) for j in range(8)]
