from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.data.synthetic import shapes
from nervure.errors import InputError
from nervure.features.masks import Given, Otsu
from nervure.judge import Judgement, Layer, judge, select
from nervure.observe import Site
from nervure.prune.criteria.iou_vote import IoUVote, MaxVote, SumIoU

MASKS = Given(np.array([[[1, 0], [0, 1]], [[0, 0], [0, 1]]], bool))


def test_by_hand(toy: Any) -> None:
    options = {"masks": MASKS, "exceed_prob": 0.25, "l_frac": 1 / 3, "exact": True}
    # The upper quarter of filter 0 is above 1: one pixel of each image, both in the foreground.
    found = toy("sum-iou", **options)
    assert found.scores.tolist() == [1.5, 0.0, 1.5]
    assert (found.notes["masks"], found.notes["mean_iou"]) == ("given", 0.5)
    # Filters 0 and 2 agree everywhere; the louder one has the vote.
    assert toy("iou-vote", **options).scores.tolist() == [0.0, 0.0, 2.0]
    against = toy("max-vote", **options)
    assert against.scores.tolist() == [0.0, 0.0, -2.0]
    # Filters 0 and 1 have no vote against them; the larger mean IoU goes first here.
    assert select(against.scores, 1, against.tiebreak).tolist() == [1]


class Painter(nn.Module):
    """Channels: the picture, its negative, noise, an empty map, the picture at half the size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 1, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, 0]]).view(4, 2, 1, 1))
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.conv(x)).mean((2, 3))


def painted(criterion: IoUVote, size: int = 10) -> Judgement:
    made = shapes(40, size=24, seed=0, noise=0.02)
    # Faint, so that it does not disturb the brightness by which masks are found.
    noise = 0.05 * torch.rand(40, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    x = torch.cat([torch.from_numpy(made.images).float() / 255, noise], dim=1)
    net = Painter()
    batches = [Batch(x[at], None, at) for at in torch.arange(40).split(size)]
    if criterion.masks == "given":
        criterion = type(criterion)(masks=Given(made.masks))
    return judge(net, batches, {"iou": criterion}, layers=[Layer("conv", net.conv, 4, Site("conv"))])["iou"]["conv"]


@pytest.mark.parametrize("kind", [IoUVote, SumIoU])
@pytest.mark.parametrize("masks", ["given", "otsu", "border"])
def test_the_channel_that_copies_the_mask_is_first_and_its_complement_last(kind: type[IoUVote], masks: str) -> None:
    found = painted(kind(masks=masks))
    assert int(found.scores.argmax()) == 0
    mean = found.tiebreak if found.tiebreak is not None else found.scores
    assert int(mean[:3].argmin()) == 1
    assert float(mean[3]) == 0


def test_max_vote_is_iou_vote_turned_over() -> None:
    vote, against = painted(IoUVote()), painted(MaxVote())
    assert torch.equal(vote.scores, -against.scores)
    assert 0 not in select(against.scores, 3, against.tiebreak).tolist()


def test_batches_do_not_matter() -> None:
    assert torch.equal(painted(IoUVote(), 7).scores, painted(IoUVote(), 40).scores)
    assert torch.equal(painted(IoUVote(scope="image"), 7).scores, painted(IoUVote(scope="image"), 40).scores)


def test_share_of_places_above_the_threshold() -> None:
    for exact in (True, False):
        share = painted(IoUVote(exact=exact)).notes["share_on"]
        # 20 % of the noise and of both pictures; the empty channel adds nothing.
        assert share == pytest.approx(0.75 * 0.2, abs=0.01)


def test_evidence_holds_rows_votes_and_pictures() -> None:
    bars, rows, votes, grid = painted(IoUVote()).evidence
    assert bars.bars[0] == "0"
    assert rows.values.shape == votes.values.shape == (32, 4)
    assert grid.columns == 5
    assert grid.pictures.shape == (20, 1, 24, 24)
    assert grid.captions[1].startswith("unit 0")
    assert np.mean(grid.pictures[0] == grid.pictures[1]) > 0.9


def test_the_pictures_frame_the_channels_that_are_cut() -> None:
    stays = torch.tensor([False, True, True, True])
    grid = painted(IoUVote()).figures(stays)[-1]
    assert [caption.split(":")[0] for caption in grid.captions[1:5]][-1] == "unit 0"
    assert grid.framed.reshape(4, 5).tolist() == [[False, False, False, False, True]] * 4


def test_three_variants_cost_two_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Painter()
    seen: list[int] = []
    net.conv.register_forward_hook(lambda *_: seen.append(1))
    x = torch.rand(4, 2, 24, 24, generator=torch.Generator().manual_seed(0))
    batches = [Batch(x, None, torch.arange(4))]
    all_ = {"vote": IoUVote(), "sum": SumIoU(), "max": MaxVote()}
    judge(net, batches, all_, layers=[Layer("conv", net.conv, 4)])
    # Each also traces the network on two samples.
    assert len(seen) == 2 + len(all_)


def test_options() -> None:
    for options in ({"exceed_prob": 1.0}, {"l_frac": 0.0}, {"scope": "all"}, {"tensor": "out"}, {"resolution": 0}):
        with pytest.raises(InputError, match=next(iter(options))):
            IoUVote(**options)  # type: ignore[arg-type]
    assert IoUVote(masks=Otsu("dark")).masks == Otsu("dark")
    with pytest.raises(InputError, match="unknown input mask 'otsi'"):
        painted(IoUVote(masks="otsi"))
