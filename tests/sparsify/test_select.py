from __future__ import annotations

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from nervure.errors import InputError
from nervure.judge import select
from nervure.sparsify.select import fits, highest, highest_of_all, kept_count, patterned

# Few values, so that ties are common; some differ in the sixth digit only.
values = st.lists(
    st.sampled_from([0.0, 1.0, 1.0000004, 0.9999996, 2.0, -1.0, 1e-30, 1e20, 3.14159, 3.14161, 99999.6, 100000.4]),
    min_size=1,
    max_size=60,
)


@given(values, st.floats(0, 1))
@example([0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.9999996, 1.0], 0.5)
def test_it_decides_as_select_does(found: list[float], share: float) -> None:
    scores = torch.tensor(found, dtype=torch.float64)
    keep = kept_count(len(found), share)
    mask = highest(scores, keep)
    assert int(mask.sum()) == keep
    assert mask.nonzero().flatten().tolist() == select(scores, keep).tolist()


@given(st.integers(0, 2**31), st.integers(1, 3000), st.floats(0, 1))
def test_it_decides_as_select_does_on_many_values(seed: int, count: int, share: float) -> None:
    scores = torch.randn(count, generator=torch.Generator().manual_seed(seed)).abs()
    scores[::7] = 0.0
    keep = kept_count(count, share)
    assert highest(scores, keep).nonzero().flatten().tolist() == select(scores, keep).tolist()


def test_of_equal_scores_the_first_stay() -> None:
    assert highest(torch.zeros(2, 3), 4).tolist() == [[True, True, True], [True, False, False]]
    assert highest(torch.full((4,), 7.0), 1).tolist() == [True, False, False, False]


def test_all_together_is_one_ranking() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = {"a": torch.rand(3, 4, generator=generator), "b": torch.rand(5, generator=generator)}
    masks = highest_of_all(scores, 6)
    flat = torch.cat([one.flatten() for one in scores.values()])
    chosen = torch.cat([masks["a"].flatten(), masks["b"]])
    assert set(chosen.nonzero().flatten().tolist()) == set(flat.topk(6).indices.tolist())


@given(st.integers(0, 2**31), st.sampled_from([(1, 2), (2, 4), (1, 4), (3, 8)]), st.booleans())
def test_a_pattern_holds_in_every_group(seed: int, pattern: tuple[int, int], conv: bool) -> None:
    stay, group = pattern
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(3, 2 * group, *([2, 2] if conv else []), generator=generator).mul(4).round()
    mask = patterned(scores, pattern)
    blocks = mask.movedim(1, -1).reshape(-1, group)
    assert (blocks.sum(1) == stay).all()
    given = scores.movedim(1, -1).reshape(-1, group)
    for block, kept in zip(given, blocks, strict=True):
        assert kept.nonzero().flatten().tolist() == select(block, stay).tolist()


def test_which_weights_take_a_pattern() -> None:
    assert fits((2, 8), 4)
    assert not fits((2, 6), 4)
    assert not fits((8,), 4)


def test_more_than_there_are_cannot_stay() -> None:
    with pytest.raises(InputError, match="cannot keep 4 of 3 edges"):
        highest(torch.zeros(3), 4)
