from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, rankdata

from nervure.errors import InputError
from nervure.judge import Judgement
from nervure.prune.criteria import combine
from nervure.prune.criteria.combine import agreement, by_rank, by_vote, kendall_tau, ranks


def judged(*rows: list[float]) -> dict[str, Judgement]:
    return {f"criterion{i}": Judgement(torch.tensor(row)) for i, row in enumerate(rows)}


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_ranks_are_those_of_scipy(values: list[int]) -> None:
    assert ranks(torch.tensor(values)).tolist() == pytest.approx((rankdata(values) - 1).tolist())


@given(st.integers(0, 2**31), st.integers(2, 30), st.booleans())
def test_kendall_is_that_of_scipy(seed: int, units: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, (4, units)).astype(float) if ties else rng.normal(size=(4, units))
    ours = kendall_tau(torch.from_numpy(scores)).numpy()
    for i in range(4):
        for j in range(4):
            expected = 1.0 if i == j else np.nan_to_num(kendalltau(scores[i], scores[j]).statistic)
            assert ours[i, j] == pytest.approx(expected, abs=1e-12)


def test_kendall_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    whole = kendall_tau(scores)
    monkeypatch.setattr(combine, "BLOCK", 400)
    assert torch.allclose(kendall_tau(scores), whole)


def test_by_rank_forgets_scale() -> None:
    found = judged([1.0, 2.0, 3.0], [300.0, 100.0, 200.0])
    assert by_rank(found).scores.tolist() == [1.0, 0.5, 1.5]
    assert by_rank(found, [1, 0]).scores.tolist() == [0.0, 1.0, 2.0]


def test_by_vote_counts_and_breaks_ties_by_rank() -> None:
    found = by_vote(judged([4.0, 3.0, 2.0, 1.0], [4.0, 1.0, 3.0, 2.0], [1.0, 2.0, 4.0, 3.0]), 0.5)
    assert found.scores.tolist() == [2.0, 1.0, 2.0, 1.0]
    assert found.tiebreak is not None
    assert found.tiebreak.tolist() == pytest.approx([2.0, 1.0, 2.0, 1.0])
    assert 0.07 * 100 > 7
    assert by_vote(judged([float(one) for one in range(100)]), 0.07).scores.sum() == 7


def test_agreement_names_its_rows() -> None:
    figure = agreement(judged([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]), "conv1")
    assert figure.values == pytest.approx(np.array([[1.0, -1.0], [-1.0, 1.0]]))
    assert figure.rows == figure.columns == ("criterion0", "criterion1")


def test_bad_input() -> None:
    with pytest.raises(InputError, match="no judgements"):
        by_rank({})
    with pytest.raises(InputError, match="different layers"):
        by_vote(judged([1.0], [1.0, 2.0]))
    with pytest.raises(InputError, match="weights"):
        by_rank(judged([1.0, 2.0]), [1, 2])
    with pytest.raises(InputError, match="l_frac"):
        by_vote(judged([1.0, 2.0]), 0.0)
