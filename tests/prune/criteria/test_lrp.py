from __future__ import annotations

from typing import Any

import pytest


def test_by_hand(toy: Any) -> None:
    found = toy("lrp")
    # Image 1: logit 3 = 1 + 2. Image 2: logit -0.5, of which only filter 1 speaks for the class.
    assert found.scores.tolist() == pytest.approx([0.5, -0.25, 1.0])
    assert found.notes["total"] == pytest.approx(found.notes["start"]) == pytest.approx(1.25)
