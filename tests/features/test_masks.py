from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.filters import threshold_otsu

from nervure.data.dataset import Batch
from nervure.data.synthetic import shapes
from nervure.errors import InputError
from nervure.features import segment
from nervure.features.inf_fs import inf_fs
from nervure.features.masks import Border, Given, Gradient, MaskSource, Mean, Otsu, masks, source_of


def batch(x: torch.Tensor, start: int = 0) -> Batch:
    return Batch(x, None, torch.arange(start, start + len(x)))


def overlap(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a & b).sum() / (a | b).sum())


def pictures(channels: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    made = shapes(20, size=24, seed=1, noise=0.05, channels=channels)
    return torch.from_numpy(made.images).float() / 255, torch.from_numpy(made.masks)


@pytest.mark.parametrize("seed", range(5))
def test_otsu_is_that_of_scikit_image(seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(4, 20, 20)) ** 3
    # Theirs is the centre of one of 256 bins, ours a value of that bin.
    for ours, one in zip(segment.otsu(torch.from_numpy(x)).tolist(), x, strict=True):
        assert ours in one
        assert ours == pytest.approx(threshold_otsu(one), abs=np.ptp(one) / 512 + 1e-12)


def between(grey: np.ndarray, upper: np.ndarray) -> float:
    """Variance between two parts, by its definition."""
    whole = grey.mean()
    return sum(part.size / grey.size * (part.mean() - whole) ** 2 for part in (grey[upper], grey[~upper]))


@pytest.mark.parametrize("seed", range(20))
def test_otsu_of_few_levels_is_the_best_of_all_splits(seed: int) -> None:
    chance = np.random.default_rng(seed)
    grey = chance.choice(chance.choice(50, size=4, replace=False), size=(6, 6)).astype(np.float64)
    ours = Otsu(polarity="bright")(batch(torch.from_numpy(grey)[None, None]))[0].numpy()
    best = max(between(grey, grey > level) for level in np.unique(grey)[:-1])
    assert between(grey, ours) >= 0.99 * best
    assert between(grey, ours) <= best + 1e-9


def test_otsu_leaves_the_level_of_its_threshold_below() -> None:
    grey = torch.tensor([[[[0.0, 0.0, 0.0, 3.0, 3.0, 10.0]]]])
    assert Otsu(polarity="bright")(batch(grey)).tolist() == [[[False, False, False, False, False, True]]]


def test_otsu_of_one_value_marks_nothing() -> None:
    flat = torch.full((2, 1, 4, 4), 3.0)
    assert not Otsu(polarity="bright")(batch(flat)).any()


@pytest.mark.parametrize("name", masks.names())
def test_every_source_keeps_to_the_contract(name: str) -> None:
    source = source_of(name)
    assert isinstance(source, MaskSource)
    assert source.name == name
    for shape in ((3, 3, 12, 10), (3, 2, 30), (3, 7)):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        mask = source(batch(x))
        expected = (3, *shape[2:]) if len(shape) > 2 else shape
        assert mask.dtype == torch.bool
        assert mask.shape == expected
        apart = torch.cat([source(batch(part)) for part in x.split(1)])
        assert torch.equal(mask, apart)


@pytest.mark.parametrize("source", [Otsu(), Mean(), Border()])
@pytest.mark.parametrize("channels", [1, 3])
def test_made_shapes_are_found(source: MaskSource, channels: int) -> None:
    x, truth = pictures(channels)
    assert overlap(source(batch(x)), truth) > 0.6


@pytest.mark.parametrize("source", [Otsu(), Mean(), Border()])
def test_dark_shapes_on_bright_ground_are_found_as_well(source: MaskSource) -> None:
    x, truth = pictures()
    assert overlap(source(batch(1 - x)), truth) > 0.6


def test_polarity() -> None:
    x, truth = pictures()
    assert overlap(Otsu(polarity="bright")(batch(x)), truth) > 0.9
    assert overlap(Otsu(polarity="dark")(batch(x)), ~truth) > 0.9
    with pytest.raises(InputError, match="inside, bright or dark"):
        Otsu(polarity="light")  # type: ignore[arg-type]


def test_masks_follow_a_flip_and_a_crop() -> None:
    x, _ = pictures(3)
    whole = Otsu(polarity="bright")(batch(x))
    assert torch.equal(Otsu(polarity="bright")(batch(x.flip(-1))), whole.flip(-1))
    given = Given(whole.numpy())
    assert torch.equal(given(batch(x[3:5], start=3)), whole[3:5])


def test_gradient_marks_edges() -> None:
    x = torch.zeros(1, 1, 16, 16)
    x[0, 0, 4:12, 4:12] = 1.0
    edges = Gradient()(batch(x))[0]
    assert edges[4, 6]
    assert not edges[8, 8]
    assert not edges[0, 0]


class TestGiven:
    def test_grey_levels_are_split_in_the_middle(self) -> None:
        levels = np.array([[127, 128]], dtype=np.uint8)
        assert Given(levels)(batch(torch.zeros(1, 2))).tolist() == [[False, True]]
        assert Given(levels / 255)(batch(torch.zeros(1, 2))).tolist() == [[False, True]]

    @pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32])
    def test_the_largest_value_of_all_masks_tells_their_scale(self, kind: type[np.generic]) -> None:
        known = np.array([[0, 1, 1], [1, 0, 1]], kind)
        assert torch.equal(Given(known)(batch(torch.zeros(2, 3))), torch.from_numpy(known.astype(bool)))

    @pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32])
    def test_dark_grey_is_no_foreground_in_any_type(self, kind: type[np.generic]) -> None:
        given = Given(np.array([[0, 1, 20], [200, 127, 255]], kind))
        assert given(batch(torch.zeros(2, 3))).tolist() == [[False, False, False], [True, False, True]]
        assert not given(batch(torch.zeros(1, 3))).any()

    def test_files(self, tmp_path: Path) -> None:
        made = np.eye(3, dtype=bool)
        np.savez(tmp_path / "all.npz", some=made)
        assert Given.from_file(f"{tmp_path}/all.npz:some").known.tolist() == made.tolist()
        with pytest.raises(InputError, match="no masks there"):
            Given.from_file(tmp_path / "none.npy")

    def test_too_few(self) -> None:
        with pytest.raises(InputError, match="2 masks, but sample 5"):
            Given(np.ones((2, 3), bool))(batch(torch.zeros(1, 3), start=5))

    def test_no_numbers(self) -> None:
        with pytest.raises(InputError, match="grey levels"):
            Given(np.array(["a"]))


class TestInfFS:
    def test_power_series(self) -> None:
        x = np.random.default_rng(0).normal(size=(40, 5))
        from scipy.stats import spearmanr

        deviation = x.std(0)
        a = 0.5 * np.maximum.outer(deviation, deviation) + 0.5 * (1 - np.abs(spearmanr(x).statistic))
        np.fill_diagonal(a, 0.5 * deviation)
        step = 0.9 / np.abs(np.linalg.eigvals(a)).max() * a
        total, power = np.zeros((5, 5)), np.eye(5)
        for _ in range(400):
            power = power @ step
            total += power
        assert inf_fs(x) == pytest.approx(total.sum(1), rel=1e-9)

    def test_edge_cases(self) -> None:
        assert inf_fs(np.ones((5, 1))).tolist() == [1.0]
        assert inf_fs(np.ones((5, 3)), alpha=1.0).tolist() == [1.0, 1.0, 1.0]
        assert np.isfinite(inf_fs(np.stack([np.arange(5.0), np.ones(5)], 1))).all()
        with pytest.raises(InputError, match="alpha"):
            inf_fs(np.ones((2, 2)), alpha=2.0)
        with pytest.raises(InputError, match="shape"):
            inf_fs(np.ones(3))

    def test_columns_permute(self) -> None:
        x = np.random.default_rng(1).normal(size=(30, 6))
        order = np.array([3, 1, 5, 0, 2, 4])
        assert inf_fs(x[:, order]) == pytest.approx(inf_fs(x)[order])
