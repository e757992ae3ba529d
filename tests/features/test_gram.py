"""Other similarities than SSIM, held against loops over pairs (spec ssim-kmeans-pruning, 6.4 and 7.5)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from nervure.features.ssim import Filters, Measure, Mode, Similarity, pairwise

MODES: tuple[Mode, ...] = ("window3", "global", "kernel")
OTHERS: tuple[Similarity, ...] = ("uqi", "mse", "cosine")
GROUPS = [np.array([0, 2]), np.array([5]), np.array([1, 3, 4, 6])]


def filters(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def quality(x: np.ndarray, y: np.ndarray) -> float:
    """The universal quality index of one window, after its authors' formula, in three factors."""
    if (x == y).all():
        return 1.0
    correlation = np.corrcoef(x.ravel(), y.ravel())[0, 1]
    luminance = 2 * x.mean() * y.mean() / (x.mean() ** 2 + y.mean() ** 2)
    return float(correlation * luminance * 2 * x.std() * y.std() / (x.var() + y.var()))


@pytest.mark.parametrize("compiled", [None, False])
def test_uqi_by_windows(compiled: bool | None) -> None:
    weight = 0.01 * filters(5, 4, 3, 3)
    found = Filters(weight, Measure("kernel", similarity="uqi"), compiled=compiled).matrix
    kernels = weight.double().flatten(2).numpy()
    expected = [[np.mean([quality(a, b) for a, b in zip(x, y, strict=True)]) for y in kernels] for x in kernels]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    whole = pairwise(weight, Measure("global", similarity="uqi"))
    np.testing.assert_allclose(whole, [[quality(x, y) for y in kernels] for x in kernels], atol=1e-5)


def test_uqi_has_no_scale_of_its_own_and_no_range() -> None:
    weight = filters(6, 4, 3, 3)
    found = pairwise(weight, Measure(similarity="uqi"))
    for other in (weight * 1e-6, weight * 1e6):
        np.testing.assert_allclose(pairwise(other, Measure(similarity="uqi", data_range=7.0)), found, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_uqi_of_flat_windows(mode: Mode) -> None:
    """Two flat windows have one structure and compare by their means; a flat one is unlike one with a structure."""
    flat = torch.ones(4, 2, 3, 3) * torch.tensor([0.0, 0.0, 0.3, 0.6]).reshape(4, 1, 1, 1)
    weight = torch.cat([flat, filters(1, 2, 3, 3) + 2])
    found = pairwise(weight, Measure(mode, similarity="uqi"))
    assert bool(found.isfinite().all())
    assert float(found[0, 1]) == pytest.approx(1, abs=1e-4)
    assert float(found[2, 3]) == pytest.approx(2 * 0.3 * 0.6 / (0.3**2 + 0.6**2), abs=1e-3)
    assert float(found[0, 2]) == pytest.approx(0, abs=1e-3)
    assert float(found[2, 4]) == pytest.approx(0, abs=1e-3)


def test_squared_error_by_pairs() -> None:
    weight = 3 + filters(7, 4, 3, 3)
    flat = weight.double().flatten(1).numpy()
    errors = np.array([[((x - y) ** 2).mean() for y in flat] for x in flat])
    found = pairwise(weight, Measure(similarity="mse"))
    np.testing.assert_allclose(found, 1 - 2 * errors / errors.max(), atol=1e-9)
    assert float(found.min()) == pytest.approx(-1)


def test_cosine_by_pairs() -> None:
    weight = filters(7, 4, 3, 3)
    flat = weight.double().flatten(1)
    expected = torch.nn.functional.cosine_similarity(flat[:, None], flat[None], dim=2)
    np.testing.assert_allclose(pairwise(weight, Measure(similarity="cosine")), expected, atol=1e-12)
    opposite = pairwise(torch.cat([weight[:1], -2 * weight[:1]]), Measure(similarity="cosine"))
    assert float(opposite[0, 1]) == pytest.approx(-1)


@pytest.mark.parametrize("similarity", OTHERS)
@pytest.mark.parametrize("shape", [(7, 5, 3, 3), (7, 4, 1, 1), (7, 9)], ids=str)
class TestEach:
    def test_is_1_for_equal_filters_symmetric_and_at_most_1(
        self, similarity: Similarity, shape: tuple[int, ...]
    ) -> None:
        weight = filters(*shape)
        weight[1] = weight[0]
        found = pairwise(weight, Measure("kernel", similarity=similarity))
        np.testing.assert_allclose(found.diagonal(), 1, atol=1e-6)
        assert float(found[0, 1]) == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(found, found.T, atol=1e-12)
        assert -1 - 1e-6 <= float(found.min()) <= float(found.max()) <= 1 + 1e-6

    def test_means_are_compared_as_filters_would_be(self, similarity: Similarity, shape: tuple[int, ...]) -> None:
        weight = filters(*shape).double()
        layer = Filters(weight, Measure("kernel", similarity=similarity))
        more = torch.cat([weight, torch.stack([weight[group].mean(0) for group in GROUPS])])
        expected = pairwise(more, Measure("kernel", similarity=similarity))[7:, :7]
        np.testing.assert_allclose(layer.with_means(GROUPS), expected, atol=1e-5)
        assert layer.with_means([]).shape == (0, 7)

    @pytest.mark.parametrize("value", [0.0, 0.3])
    def test_a_constant_layer_is_all_alike(self, similarity: Similarity, shape: tuple[int, ...], value: float) -> None:
        found = pairwise(torch.full(shape, value), Measure("kernel", similarity=similarity))
        np.testing.assert_allclose(found, 1, atol=1e-4)


@pytest.mark.parametrize("similarity", ["mse", "cosine"])
def test_whole_filters_and_weights_as_they_are(similarity: Similarity) -> None:
    weight = filters(6, 4, 3, 3)
    found = pairwise(weight, Measure(similarity=similarity))
    for mode in MODES:
        other = Measure(mode, value_map="minmax01", data_range=3.0, similarity=similarity)
        np.testing.assert_array_equal(pairwise(weight, other), found)


def test_a_group_whose_mean_is_nothing_is_like_no_filter() -> None:
    weight = filters(1, 4, 3, 3)
    layer = Filters(torch.cat([weight, -weight]), Measure(similarity="cosine"))
    np.testing.assert_array_equal(layer.with_means([np.array([0, 1])]), [[0, 0]])
