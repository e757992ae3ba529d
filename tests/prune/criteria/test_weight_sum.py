from __future__ import annotations

from typing import Any

import pytest

from nervure.errors import InputError
from nervure.prune.criteria.weight_sum import WeightSum


def test_by_hand(toy: Any) -> None:
    assert toy("weight-sum").scores.tolist() == [1.0, 1.0, 2.0]
    assert toy("weight-sum", direction="in").scores.tolist() == [1.0, 1.0, 2.0]
    assert toy("weight-sum", consumers=("head", "head")).scores.tolist() == [2.0, 2.0, 4.0]


def test_no_reader_is_known(toy: Any) -> None:
    with pytest.raises(InputError, match="layer 'conv': weight-sum needs"):
        toy("weight-sum", consumers=())


def test_options() -> None:
    with pytest.raises(InputError, match="out or in"):
        WeightSum(direction="up")  # type: ignore[arg-type]
