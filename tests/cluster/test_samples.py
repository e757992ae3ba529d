from __future__ import annotations

import numpy as np
import pytest

from nervure.cluster.samples import known_labels
from nervure.errors import InputError


class TestKnownLabels:
    def test_are_numbered_from_0(self) -> None:
        assert known_labels([7, -1, 3, 7], 4).tolist() == [1, -1, 0, 1]

    def test_groups_are_looked_up_by_the_label_as_given(self) -> None:
        labels = [0, 1, 2, 3, 5, 6, 7, 8, 9, -1]
        assert known_labels(labels, 10, (0,) * 5 + (1,) * 5).tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1, -1]

    @pytest.mark.parametrize(
        ("labels", "parents", "words"),
        [
            ([0, 1], (), "2,"),
            (["cat", "dog", "cat"], (), "whole numbers"),
            ([0.5, 1, 2], (), "whole numbers"),
            ([np.nan, 1, 2], (), "whole numbers"),
            ([0, -2, 1], (), "a label of -2"),
            ([-1, -1, -1], (), "fit without labels"),
            ([0, 1, 2], (0, 1), "2 groups for 3 labels"),
            ([0, 1, 2], (0, 1, -1), "groups from 0"),
        ],
    )
    def test_refuses_others(self, labels: list[object], parents: tuple[int, ...], words: str) -> None:
        with pytest.raises(InputError, match=words):
            known_labels(labels, 3, parents)
