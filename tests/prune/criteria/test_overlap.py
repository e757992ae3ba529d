from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.features.masks import Given
from nervure.prune.criteria import overlap as module
from nervure.prune.criteria.overlap import Masks, Overlap, iou, iou_votes, overlaps, resized


def given(mask: Tensor) -> Masks:
    return Masks(Given(mask.numpy()))


def batch(n: int, sides: tuple[int, ...], start: int = 0) -> Batch:
    return Batch(torch.zeros(n, 1, *sides), None, torch.arange(start, start + n))


def random(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class TestIoU:
    def test_examples(self) -> None:
        assert iou(torch.tensor([[3]]), torch.tensor([[4]]), torch.tensor([6])).item() == pytest.approx(3 / 7)
        assert iou(torch.tensor([[5]]), torch.tensor([[5]]), torch.tensor([5])).item() == 1
        assert iou(torch.tensor([[0]]), torch.tensor([[4]]), torch.tensor([6])).item() == 0
        assert iou(torch.tensor([[0]]), torch.tensor([[0]]), torch.tensor([0])).item() == 0
        assert iou(torch.tensor([[3]]), torch.tensor([[6]]), torch.tensor([4])).item() == pytest.approx(3 / 7)

    def test_against_a_loop(self) -> None:
        maps, mask = random((4, 3, 6, 6)), random((4, 6, 6), 1) > 0
        both, on, _ = overlaps(maps, torch.full((4, 3), 0.3), mask)
        ours = iou(both, on, mask.flatten(1).sum(1))
        for i in range(4):
            for j in range(3):
                m = maps[i, j].numpy() > 0.3
                assert float(ours[i, j]) == pytest.approx((m & mask[i].numpy()).sum() / (m | mask[i].numpy()).sum())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("small", "large"), [((4, 4), (32, 32)), ((16, 16), (32, 32)), ((1, 1), (8, 8)), ((5, 7), (24, 19)),
                         ((1, 9), (1, 40)), ((12, 12), (12, 12)), ((2, 2), (32, 32)), ((9, 9), (4, 5))]
)  # fmt: skip
def test_counts_are_those_of_interpolating_in_torch(
    small: tuple[int, int], large: tuple[int, int], dtype: torch.dtype
) -> None:
    maps = random((5, 6, *small)).to(dtype).relu()
    maps[:, 5] = 0.0
    thresholds = random((5, 6), 2).to(dtype).abs() * 0.5
    thresholds[:, 0] = 0.0
    mask = random((5, *large), 3) > 0
    bright = F.interpolate(maps, large, mode="bilinear", align_corners=False) > thresholds[:, :, None, None]
    for compiled in (True, False):
        both, on, means = overlaps(maps, thresholds, mask, compiled=compiled)
        assert torch.allclose(means, maps.double().mean((2, 3)))
        assert torch.equal(on, bright.flatten(2).sum(2))
        assert torch.equal(both, (bright & mask[:, None]).flatten(2).sum(2))


def test_the_number_of_threads_stays() -> None:
    before = torch.get_num_threads()
    overlaps(random((8, 8, 4, 4)), torch.zeros(8, 8), random((8, 16, 16)) > 0, compiled=True)
    assert torch.get_num_threads() == before


def test_plain_form_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    maps, thresholds, mask = random((7, 3, 4, 4)), torch.zeros(7, 3), random((7, 8, 8), 1) > 0
    whole = overlaps(maps, thresholds, mask, compiled=False)
    monkeypatch.setattr(module, "PIXELS", 200)
    pieces = overlaps(maps, thresholds, mask, compiled=False)
    assert all(torch.equal(a, b) for a, b in zip(whole, pieces, strict=True))


def test_votes_break_ties_by_the_second_table_then_by_index() -> None:
    rows = torch.tensor([[0.5, 0.5, 0.5, 0.1], [0.0, 0.0, 0.3, 0.0]])
    ties = torch.tensor([[1.0, 3.0, 1.0, 9.0], [0.0, 0.0, 0.0, 0.0]])
    assert iou_votes(rows, ties, 0.5).tolist() == [2, 1, 1, 0]


def test_votes_follow_ranks_alone() -> None:
    rows, ties = random((20, 8)).abs(), torch.zeros(20, 8)
    assert torch.equal(iou_votes(rows, ties, 0.3), iou_votes(rows.pow(3) * 7, ties, 0.3))
    assert iou_votes(rows, ties, 0.3).sum() == 20 * 3


def test_areas_decide_a_smaller_mask() -> None:
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[0, :2, :1] = True
    mask[0, 2, 2] = True
    assert resized(mask, (2, 2))[0].tolist() == [[True, False], [False, False]]


class TestOverlap:
    def feed(self, size: int, order: Tensor | None = None, **options: object) -> Overlap:
        maps, mask = random((20, 5, 4, 4)).double(), random((20, 8, 8), 1) > 0
        one = Overlap(given(mask), torch.full((5,), 0.2, dtype=torch.float64), **options)  # type: ignore[arg-type]
        at = torch.arange(20) if order is None else order
        for part in at.split(size):
            one.update(maps[part], Batch(torch.zeros(len(part), 1, 8, 8), None, part))
        return one

    @pytest.mark.parametrize("size", [1, 3, 20])
    def test_batches_and_order_do_not_matter(self, size: int) -> None:
        whole, parts = self.feed(20).result(), self.feed(size, torch.randperm(20)).result()
        assert torch.equal(whole.votes, parts.votes)
        assert torch.allclose(whole.total, parts.total)
        assert whole.votes.sum() == 20
        assert torch.allclose(whole.rows, parts.rows)
        assert torch.equal(whole.maps, parts.maps)
        assert torch.equal(whole.index, parts.index)

    def test_merging_and_resuming(self) -> None:
        whole = self.feed(5).result()
        first, second = self.feed(5, torch.arange(10)), self.feed(5, torch.arange(10, 20))
        second.merge(first)
        again = first.continued(second.state()).result()
        assert torch.equal(again.votes, whole.votes)
        assert torch.allclose(again.total, whole.total)
        assert torch.equal(again.masks, whole.masks)
        assert first.result().images == 10

    def test_memory_does_not_grow(self) -> None:
        few, many = self.feed(20, torch.arange(32) % 20), self.feed(20, torch.arange(200) % 20)
        assert {k: v.shape for k, v in few.state().items()} == {k: v.shape for k, v in many.state().items()}

    def test_empty_and_full_masks_are_skipped(self) -> None:
        mask = torch.zeros(3, 8, 8, dtype=torch.bool)
        mask[1] = True
        mask[2, :4] = True
        one = Overlap(given(mask), torch.zeros(2))
        maps = random((3, 2, 8, 8))
        one.update(maps, batch(3, (8, 8)))
        found = one.result()
        assert (found.images, found.skipped) == (1, 2)
        assert found.votes.sum() == 1
        none = Overlap(given(mask[:2]), torch.zeros(2))
        none.update(maps[:2], batch(2, (8, 8)))
        with pytest.raises(InputError, match="given: of none of the 2 images .* is foreground; give masks that"):
            none.result()
        none.merge(one)
        assert (none.result().images, none.result().skipped) == (1, 4)

    def test_maps_of_several_steps_an_image_are_refused(self) -> None:
        with pytest.raises(InputError, match="a map for each image, not 6 for 3"):
            Overlap(given(random((3, 8, 8)) > 0), torch.zeros(2)).update(random((6, 2, 8, 8)), batch(3, (8, 8)))

    def test_an_image_that_no_channel_touches_is_silent(self) -> None:
        mask = torch.zeros(1, 4, 4, dtype=torch.bool)
        mask[0, :2] = True
        maps = torch.zeros(1, 2, 4, 4)
        maps[0, :, 2:] = 1.0
        one = Overlap(given(mask), torch.zeros(2))
        one.update(maps, batch(1, (4, 4)))
        assert one.result().silent == 1
        assert one.result().votes.tolist() == [0, 0]

    def test_each_image_its_own_level(self) -> None:
        mask = random((6, 10, 10), 4) > 0
        one = Overlap(given(mask), None, exceed_prob=0.2)
        one.update(random((6, 3, 10, 10)), batch(6, (10, 10)))
        # The lower of two neighbours: 20 of 100 distinct values lie strictly above it.
        assert one.result().on.tolist() == pytest.approx([0.2] * 3)
        # A tenth of the ten steps between eleven values is one, though 1 - 0.9 is a little less than 0.1.
        series = Overlap(given(random((6, 11), 4) > 0), None, exceed_prob=0.9)
        series.update(random((6, 3, 11)), batch(6, (11,)))
        assert series.result().on.tolist() == pytest.approx([9 / 11] * 3)

    def test_lower_resolution_is_close(self) -> None:
        y, x = np.mgrid[:64, :64]
        mask = torch.from_numpy(((y - 30) ** 2 + (x - 35) ** 2 < 400)[None])
        maps = F.interpolate(mask[None].float(), (16, 16), mode="area")
        full, coarse = (Overlap(given(mask), torch.tensor([0.5]), resolution=side) for side in (None, 32))
        for one in (full, coarse):
            one.update(maps, batch(1, (64, 64)))
        assert float(coarse.result().total) == pytest.approx(float(full.result().total), abs=0.03)
        assert coarse.result().masks.shape[1:] == (32, 32)
        assert coarse.key != full.key

    def test_series(self) -> None:
        mask = torch.zeros(1, 12, dtype=torch.bool)
        mask[0, :6] = True
        one = Overlap(given(mask), torch.tensor([0.5]))
        one.update(torch.tensor([[[1.0, 1.0, 0.0, 0.0]]]), batch(1, (12,)))
        assert one.result().total.item() == 1.0

    def test_masks_of_a_wrong_size(self) -> None:
        one = Overlap(given(torch.ones(2, 4, 5, dtype=torch.bool)), torch.zeros(1))
        with pytest.raises(InputError, match=r"masks of shape \(2, 4, 5\).*\(4, 4\)"):
            one.update(torch.zeros(2, 1, 4, 4), batch(2, (4, 4)))

    def test_nan_is_seen(self) -> None:
        one = Overlap(given(torch.eye(4, dtype=torch.bool)[None]), torch.zeros(1))
        one.update(torch.full((1, 1, 4, 4), float("nan")), batch(1, (4, 4)))
        assert not one.finite()
