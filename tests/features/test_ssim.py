"""SSIM of filters, held against scikit-image and printed values (spec ssim-kmeans-pruning, 2.1, 2.2 and 8)."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import structural_similarity
from torch import Tensor

from nervure.errors import InputError
from nervure.features import ssim
from nervure.features.ssim import Filters, Measure, Mode, Windows, flatten, pairwise, similarity

F1 = [[0.5, 0.7, 0.2], [0.1, 0.3, 1.0], [0.9, 0.4, 0.6]]
F2 = [[0.3, 0.7, 0.8], [0.5, 0.2, 0.9], [0.1, 0.7, 0.1]]
F3 = [[0.7, 0.6, 0.7], [0.1, 0.4, 0.6], [0.4, 0.4, 0.3]]
THREE = torch.tensor([F1, F2, F3], dtype=torch.float64).unsqueeze(1)


def filters(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def by_skimage(images: np.ndarray, data_range: float) -> np.ndarray:
    return np.array([[structural_similarity(x, y, win_size=3, data_range=data_range) for y in images] for x in images])


class TestPublished:
    @pytest.mark.parametrize("compiled", [True, False])
    @pytest.mark.parametrize(
        ("data_range", "pairs", "to_mean"),
        [
            (1.0, (-0.002532, 0.275817, 0.375198), (0.577682, 0.615896, 0.743944)),
            (2.0, (0.011295, 0.289860, 0.387196), (0.586191, 0.623526, 0.752673)),
        ],
    )
    def test_three_filters(
        self, data_range: float, pairs: tuple[float, ...], to_mean: tuple[float, ...], compiled: bool
    ) -> None:
        layer = Filters(THREE, Measure(layout="stacked", data_range=data_range), compiled=compiled)
        found = layer.matrix[np.triu_indices(3, 1)]
        np.testing.assert_allclose(found, pairs, atol=1e-5)
        np.testing.assert_allclose(layer.with_means([np.arange(3)])[0], to_mean, atol=1e-5)
        np.testing.assert_allclose(
            layer.means([np.arange(3)])[0, 0].numpy(),
            [[0.5, 0.6667, 0.5667], [0.2333, 0.3, 0.8333], [0.4667, 0.5, 0.3333]],
            atol=1e-4,
        )

    def test_global_by_population_moments(self) -> None:
        found = pairwise(THREE, Measure("global", data_range=1.0))
        expected = (-0.001949, 0.276413, 0.375708)
        np.testing.assert_allclose(found[np.triu_indices(3, 1)], expected, atol=1e-6)

    @pytest.mark.parametrize(("data_range", "expected"), [(1.0, -0.004904), (2.0, -0.010463)])
    def test_nine_by_three(self, data_range: float, expected: float) -> None:
        k = torch.arange(27.0, dtype=torch.float64)
        a, b = ((k % 7) / 10 - 0.3).reshape(9, 3), ((k % 5) / 10 - 0.2).reshape(9, 3)
        assert similarity(a, b, data_range) == pytest.approx(expected, abs=1e-6)

    def test_a_fixed_range_of_two_makes_small_weights_all_alike(self) -> None:
        apart = ~torch.eye(12, dtype=torch.bool)
        for std, expected in ((0.1, 0.05), (0.03, 0.49), (0.01, 0.90), (0.003, 0.99)):
            found = pairwise(filters(12, 64, 3, 3) * std, Measure(data_range="legacy2"))
            assert found[apart].mean() == pytest.approx(expected, abs=0.02)


class TestAgainstScikitImage:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("compiled", [True, False])
    @pytest.mark.parametrize("layout", ["taps_x_channels", "stacked"])
    @pytest.mark.parametrize("channels", [3, 8, 64])
    def test_window3(self, channels: int, layout: str, compiled: bool, dtype: torch.dtype) -> None:
        weight = filters(6, channels, 3, 3, dtype=dtype) * 0.05 + 0.02
        layer = Filters(weight, Measure(layout=layout), compiled=compiled)  # type: ignore[arg-type]
        images = flatten(weight, layout).double().numpy()  # type: ignore[arg-type]
        assert images.shape[1:] == ((9, channels) if layout == "taps_x_channels" else (3 * channels, 3))
        np.testing.assert_allclose(layer.matrix, by_skimage(images, layer.data_range), atol=1e-5)

    @given(st.integers(3, 12), st.integers(3, 12), st.floats(0.5, 4.0), st.integers(0, 10**6))
    def test_two_images(self, height: int, width: int, data_range: float, seed: int) -> None:
        x, y = filters(2, height, width, seed=seed, dtype=torch.float64)
        expected = structural_similarity(x.numpy(), y.numpy(), win_size=3, data_range=data_range)
        assert similarity(x, y, data_range) == pytest.approx(expected, abs=1e-6)

    def test_five_by_five_kernels(self) -> None:
        weight = filters(4, 6, 5, 5)
        layer = Filters(weight)
        expected = by_skimage(flatten(weight).double().numpy(), layer.data_range)
        np.testing.assert_allclose(layer.matrix, expected, atol=1e-5)


MODES: tuple[Mode, ...] = ("window3", "global", "kernel")
SHAPES = [
    (10, 3, 3, 3),
    (70, 4, 3, 3),
    (9, 1, 3, 3),
    (8, 7, 1, 1),
    (8, 30),
    (8, 2),
    (7, 5, 4),
    (6, 2, 5, 5),
    (5, 2, 3, 3, 3),
]


class TestForms:
    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_agree_with_a_loop_over_windows(self, shape: tuple[int, ...], mode: Mode) -> None:
        weight = filters(*shape) * 0.1
        exact = Filters(weight.double(), Measure(mode), compiled=False)
        i, j = 1, 3
        assert exact.matrix[i, j] == pytest.approx(by_loop(weight.double().numpy(), i, j, mode), abs=1e-10)
        np.testing.assert_allclose(Filters(weight, Measure(mode), compiled=False).matrix, exact.matrix, atol=2e-6)
        np.testing.assert_allclose(Filters(weight, Measure(mode)).matrix, exact.matrix, atol=2e-6)

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("value_map", ["raw", "minmax01"])
    def test_properties(self, mode: Mode, value_map: str) -> None:
        found = pairwise(filters(80, 5, 3, 3), Measure(mode, value_map=value_map))  # type: ignore[arg-type]
        np.testing.assert_allclose(found.diagonal(), 1, atol=1e-6)
        np.testing.assert_allclose(found, found.T, atol=1e-12)
        assert float(found.max()) <= 1 + 1e-6
        assert float(found.min()) > -1

    def test_gram_form_of_global_equals_the_direct_one(self) -> None:
        weight = filters(12, 5, 3, 3, dtype=torch.float64)
        layer = Filters(weight, Measure("global"))
        windows = Windows.of(layer.values.flatten(1).unsqueeze(1), sample=False)
        np.testing.assert_allclose(layer.matrix, ssim._plain(windows, windows, layer.data_range), atol=1e-10)
        groups = [np.array([0, 4, 7]), np.array([3])]
        centre = Windows.of(layer.means(groups).flatten(1).unsqueeze(1), sample=False)
        direct = ssim._plain(centre, windows, layer.data_range)
        np.testing.assert_allclose(layer.with_means(groups), direct, atol=1e-10)

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("compiled", [None, False])
    def test_means_are_compared_as_filters_would_be(self, mode: Mode, compiled: bool | None) -> None:
        weight = filters(7, 5, 3, 3)
        groups = [np.array([0, 2]), np.array([1, 3, 4, 6])]
        found = Filters(weight, Measure(mode, data_range=3.0), compiled=compiled).with_means(groups)
        more = torch.cat([weight, torch.stack([weight[group].mean(0) for group in groups])])
        expected = pairwise(more.double(), Measure(mode, data_range=3.0))[7:, :7]
        np.testing.assert_allclose(found, expected, atol=2e-6)

    def test_a_row_depends_on_its_own_group_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        weight = filters(70, 6, 3, 3)
        groups = [np.arange(i, i + 3) for i in range(0, 66, 2)]
        layer = Filters(weight)
        alone = np.concatenate([layer.with_means([group]) for group in groups])
        monkeypatch.setattr(ssim, "GROUPS", 5)
        torch.set_num_threads(2)
        np.testing.assert_array_equal(layer.with_means(groups), alone)
        singles = [np.array([i]) for i in range(70)]
        np.testing.assert_array_equal(layer.with_means(singles), layer.matrix)
        np.testing.assert_array_equal(Filters(weight).matrix, layer.matrix)

    @pytest.mark.parametrize("compiled", [True, False])
    @pytest.mark.parametrize("layout", ["taps_x_channels", "stacked"])
    def test_little_memory_gives_the_same(self, layout: str, compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        weight, groups = filters(9, 20, 3, 3), [np.array([0, 1]), np.array([4])]
        measure = Measure(layout=layout)  # type: ignore[arg-type]
        plenty = Filters(weight, measure, compiled=compiled)
        expected = plenty.matrix, plenty.with_means(groups)
        monkeypatch.setattr(ssim, "PART", 9 * 7 * 9 * 4)
        monkeypatch.setattr(ssim, "CACHED", 0)
        monkeypatch.setattr(ssim, "TEMPORARY", {"cpu": 200})
        little = Filters(weight, measure, compiled=compiled)
        assert len(list(little._lanes())) > 1
        assert little._cache is None
        np.testing.assert_allclose(little.matrix, expected[0], atol=1e-6)
        np.testing.assert_allclose(little.with_means(groups), expected[1], atol=1e-6)

    def test_works_without_the_compiler(self, monkeypatch: pytest.MonkeyPatch) -> None:
        weight = filters(6, 4, 3, 3)
        compiled = Filters(weight)
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        plain = Filters(weight)
        assert compiled.compiled
        assert not plain.compiled
        np.testing.assert_allclose(plain.matrix, compiled.matrix, atol=1e-6)


def by_loop(weight: np.ndarray, i: int, j: int, mode: Mode) -> float:
    """One pair, window by window, from the formula."""
    x, y = (weight[at].reshape(weight.shape[1], -1) for at in (i, j))
    span = weight.max() - weight.min()
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    if mode == "global" or (mode == "kernel" and x.shape[1] == 1):
        windows = [(x.ravel(), y.ravel())]
    elif mode == "kernel":
        windows = list(zip(x, y, strict=True))
    else:
        x, y = x.T, y.T
        h, w = min(3, x.shape[0]), min(3, x.shape[1])
        places = [(a, b) for a in range(x.shape[0] - h + 1) for b in range(x.shape[1] - w + 1)]
        windows = [(x[a : a + h, b : b + w].ravel(), y[a : a + h, b : b + w].ravel()) for a, b in places]
    free = 1 if mode == "window3" or (mode == "kernel" and x.shape[1] > 1) else 0
    values = []
    for p, q in windows:
        cov = np.cov(p, q, ddof=free)
        above = (2 * p.mean() * q.mean() + c1) * (2 * cov[0, 1] + c2)
        values.append(above / ((p.mean() ** 2 + q.mean() ** 2 + c1) * (cov[0, 0] + cov[1, 1] + c2)))
    return float(np.mean(values))


class TestInvariance:
    def test_raw_values_call_a_filter_and_its_negative_alike_and_mapped_ones_do_not(self) -> None:
        x = 1 + 0.5 * filters(1, 4, 3, 3)
        layer = torch.cat([x, -x])
        assert float(pairwise(layer)[0, 1]) > 0.5
        assert float(pairwise(layer, Measure(value_map="minmax01"))[0, 1]) < 0

    @pytest.mark.parametrize("mode", MODES)
    def test_layer_range_does_not_see_scale(self, mode: Mode) -> None:
        weight = filters(6, 5, 3, 3)
        np.testing.assert_allclose(pairwise(weight * 10, Measure(mode)), pairwise(weight, Measure(mode)), atol=1e-6)

    def test_kernel_mode_does_not_see_the_order_of_inputs_and_window3_does(self) -> None:
        weight = filters(6, 12, 3, 3)
        moved = weight[:, torch.randperm(12, generator=torch.Generator().manual_seed(1))]
        np.testing.assert_allclose(pairwise(moved, Measure("kernel")), pairwise(weight, Measure("kernel")), atol=1e-6)
        assert float((pairwise(moved) - pairwise(weight)).abs().max()) > 1e-3


class TestRefusals:
    @pytest.mark.parametrize(
        "settings",
        [
            {"mode": "window7"},
            {"similarity": "psnr"},
            {"layout": "flat"},
            {"value_map": "log"},
            {"data_range": "auto"},
            {"data_range": -1.0},
        ],
        ids=str,
    )
    def test_settings(self, settings: dict[str, object]) -> None:
        name = next(iter(settings))
        with pytest.raises(InputError, match=f"{name} = .*give"):
            Measure(**settings)  # type: ignore[arg-type]

    def test_weights(self) -> None:
        with pytest.raises(InputError, match="NaN"):
            Filters(torch.full((2, 3, 3, 3), torch.nan))
        with pytest.raises(InputError, match="no filters"):
            Filters(torch.zeros(0, 3, 3, 3))
        with pytest.raises(InputError, match="two of one size"):
            similarity(torch.zeros(3, 3), torch.zeros(4, 3), 1.0)
        with pytest.raises(InputError, match="up to 9"):
            Filters(torch.zeros(2, 3, 5, 5), Measure("kernel"), compiled=True)

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("value_map", ["raw", "minmax01"])
    @pytest.mark.parametrize("value", [0.0, 0.3])
    def test_a_constant_layer_is_all_alike(self, value: float, value_map: str, mode: Mode) -> None:
        measure = Measure(mode, value_map=value_map)  # type: ignore[arg-type]
        np.testing.assert_allclose(pairwise(torch.full((3, 2, 3, 3), value), measure), 1, atol=1e-6)
