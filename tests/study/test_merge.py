from __future__ import annotations

from nervure.study.merge import merged


def test_the_later_wins_and_nothing_given_is_changed() -> None:
    below = {"recipe": {"epochs": 9, "augment": {"flip": True}}, "widths": [1, 2]}
    above = {"recipe": {"augment": {"shift": 2}}, "widths": [3]}
    found = merged(below, above)
    assert found == {"recipe": {"epochs": 9, "augment": {"flip": True, "shift": 2}}, "widths": [3]}
    found["recipe"]["epochs"] = 1  # type: ignore[index]
    assert below["recipe"]["epochs"] == 9  # type: ignore[index, call-overload]


def test_a_mapping_replaces_what_is_none() -> None:
    assert merged({"a": 1}, {"a": {"b": 2}}, {"a": {"c": 3}}) == {"a": {"b": 2, "c": 3}}
