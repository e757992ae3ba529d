"""Which network a checkpoint may go on with; that it goes on to the same bytes is seen in test_fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from nervure import nets
from nervure.errors import InputError
from nervure.nets import Origin, Step, origin_of
from nervure.train import checkpoint


def origin(**settings: object) -> Origin:
    found = origin_of(nets.build("mlp", in_shape=(4,), classes=2, **settings))
    assert found is not None
    return found


def test_the_same_beginning_may_have_gone_further(tmp_path: Path) -> None:
    one = origin(widths=[3])
    further = Origin(one.base, (Step("resize", {"modules": {}}),))
    for held, given in ((None, None), (one, one), (further, one), (further, further)):
        checkpoint.check_network(held, given, tmp_path)


def test_another_network_is_named(tmp_path: Path) -> None:
    one = origin(widths=[3])
    cases = [
        (one, origin(widths=[4]), r"mlp with widths=\[3\], not mlp with widths=\[4\]"),
        (one, Origin(one.base, (Step("resize", {"modules": {}}),)), "step 1 was not made, and is 'resize' now"),
        (
            Origin(one.base, (Step("cluster", {"k": 3, "seed": 5}),)),
            Origin(one.base, (Step("cluster", {"k": 3, "seed": 7}),)),
            "another network: cluster with seed=5, not 7",
        ),
        (one, None, "started with another network$"),
        (None, one, "started with another network$"),
    ]
    for held, given, message in cases:
        with pytest.raises(InputError, match=message):
            checkpoint.check_network(held, given, tmp_path)


def test_a_strangers_network_is_taken_as_it_is_given(tmp_path: Path) -> None:
    net = nn.Linear(2, 2)
    assert checkpoint.network_of({"origin": None}, net, tmp_path, None) is net


def test_clear_removes_what_it_wrote_and_no_more(tmp_path: Path) -> None:
    file = checkpoint.file_of(tmp_path)
    file.parent.mkdir()
    file.touch()
    (tmp_path / "other").touch()
    checkpoint.clear(tmp_path)
    checkpoint.clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
