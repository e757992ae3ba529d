from __future__ import annotations

import pytest

from nervure.study.braces import spelled_out


@pytest.mark.parametrize(
    ("name", "many"),
    [
        ("accuracy", ["accuracy"]),
        ("layer {2..4}", ["layer 2", "layer 3", "layer 4"]),
        ("{a, b c}", ["a", "b c"]),
        ("{a,b} keep {0.9,0.5}", ["a keep 0.9", "a keep 0.5", "b keep 0.9", "b keep 0.5"]),
        ("{4..2}", []),
        ("open {", ["open {"]),
    ],
)
def test_braces_stand_for_many_names(name: str, many: list[str]) -> None:
    assert list(spelled_out(name)) == many
