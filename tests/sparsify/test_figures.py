from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from nervure import evidence, nets, sparsify
from nervure.data import Dataset
from nervure.errors import InputError
from nervure.report.figures import draw
from nervure.sparsify import Mask, figures


@pytest.fixture
def net(ds: Dataset) -> nn.Module:
    return nets.build("lenet5", ds, seed=0)


@pytest.fixture
def masks(net: nn.Module, ds: Dataset) -> dict[str, Mask]:
    return {name: sparsify.plan(net, ds, name, 0.5) for name in ("isparse", "magnitude", "random")}


def test_histograms_are_centred_shares(net: nn.Module, masks: dict[str, Mask]) -> None:
    found = figures.weight_histograms(net)
    assert found.y.shape == (5, 61) and found.y.sum(1) == pytest.approx(np.ones(5))
    assert found.x[30] == pytest.approx(0) and found.x == pytest.approx(-found.x[::-1])
    thin = figures.weight_histograms(masks["magnitude"].apply(net))
    assert (thin.y[:, 30] >= 0.5).all()


def test_the_worked_example_is_drawn_to_the_digit() -> None:
    rows = {(row[0], row[1], row[2]): row[3:] for row in figures.toy().rows}
    assert [rows[1, i, o][1] for o in range(2) for i in range(2)] == [4.5, 9.0, 3.6, 0.6]
    assert [rows[2, i, o][1] for o in range(2) for i in range(2)] == [0.5, 1.0, 4.0, 0.2]
    assert rows[1, 0, 0][2:] == (True, False) and rows[1, 0, 1][2:] == (False, True)


def test_agreement_and_bars(masks: dict[str, Mask]) -> None:
    found = figures.agreement(masks).values
    assert np.allclose(found, found.T) and (np.diag(found) == 1).all()
    assert found[0, 1] > 0.8 > found[0, 2] > 0.4
    bars = figures.sparsity_bars(masks)
    assert bars.values.shape == (3, 5) and bars.values == pytest.approx(np.full((3, 5), 0.5), abs=0.01)


def test_a_picture_shows_what_is_kept_against_magnitude(masks: dict[str, Mask]) -> None:
    found = figures.mask_pictures(masks, "features.3", scale=1)
    assert found.pictures.shape == (3, 3, 16 * 6 + 1, 6 * 6 + 1)
    colours = {tuple(one) for one in found.pictures[1].reshape(3, -1).T.tolist()}
    assert len(colours) == 3  # kept, removed, and the lines between kernels
    assert len({tuple(one) for one in found.pictures[0].reshape(3, -1).T.tolist()}) == 5
    bits, other = (masks[name].masks["features.3"] for name in ("isparse", "magnitude"))
    green = (found.pictures[0] == np.array([60, 160, 75])[:, None, None]).all(0).sum()
    assert green == int((bits & ~other).sum())
    assert figures.mask_pictures(masks, "classifier.4", against=None, scale=2).pictures.shape == (3, 3, 20, 168)
    with pytest.raises(InputError, match="unknown layer 'conv_2'"):
        figures.mask_pictures(masks, "conv_2")


def test_scores_of_the_outputs_by_their_source(net: nn.Module, ds: Dataset) -> None:
    found = figures.initial_scores(net, ds, samples=100)
    assert found.values.shape == (3, 10) and found.values.sum(1) == pytest.approx(np.ones(3))
    assert np.ptp(found.values[2]) == 0 < np.ptp(found.values[0])


def test_outputs_are_called_what_they_are(net: nn.Module, ds: Dataset) -> None:
    assert tuple(figures.initial_scores(net, ds, ["identity"], samples=9).bars) == ds.names
    net.names = tuple(f"cluster {at}" for at in range(10))  # as a clusterer says
    assert tuple(figures.initial_scores(net, ds, ["identity"], samples=9).bars) == net.names
    more = nets.build("mlp", in_shape=ds.in_shape, classes=15, widths=[8])
    assert tuple(figures.initial_scores(more, ds, ["identity"], samples=9).bars) == tuple(map(str, range(15)))


def test_all_of_them_are_drawn_and_saved(net: nn.Module, ds: Dataset, masks: dict[str, Mask], tmp_path: object) -> None:
    everything = [
        figures.weight_histograms(net), figures.toy(), figures.agreement(masks), figures.sparsity_bars(masks),
        figures.mask_pictures(masks, "features.0"), figures.initial_scores(net, ds),
        *masks["isparse"].evidence.values(),
    ]  # fmt: skip
    for one in everything:
        evidence.save(f"{tmp_path}/one.npz", one)
        assert evidence.load(f"{tmp_path}/one.npz").title == one.title
        assert one.alt and draw(one)


def test_convolutions_of_one_dimension_are_drawn() -> None:
    net = nn.Sequential(nn.Conv1d(2, 3, 4))
    mask = Mask.for_net(net, {"0": torch.ones(3, 2, 4) > 0})
    assert figures.mask_pictures({"all": mask}, "0", scale=1).pictures.shape == (1, 3, 3 * 2 + 1, 2 * 5 + 1)
