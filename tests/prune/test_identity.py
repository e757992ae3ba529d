from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from nervure.features.masks import Given, Otsu
from nervure.prune.criteria import make
from nervure.prune.criteria.iou_vote import IoUVote
from nervure.prune.identity import identity


def test_what_differs_is_told_apart() -> None:
    dark, light = (Given(np.full((3, 2, 2), value)) for value in (0, 1))
    all_ = [
        make("l1"), make("ssim-kmeans"), make("ssim-kmeans", settings={"effort": "full"}), IoUVote(),
        IoUVote(l_frac=0.3), IoUVote(masks=dark), IoUVote(masks=light), IoUVote(masks=Otsu("bright")),
        IoUVote(masks=Otsu("dark")),
    ]  # fmt: skip
    said = [json.dumps(identity(one)) for one in all_]
    assert len(set(said)) == len(all_)
    assert json.dumps(identity(IoUVote(masks=Given(np.zeros((3, 2, 2), int))))) == said[5]


class Slotted:
    __slots__ = ("a",)

    def __init__(self, a: object) -> None:
        self.a = a


def test_what_is_held_in_other_ways_is_told_apart() -> None:
    def adds(by: int) -> Callable[[int], int]:
        return functools.partial(max, by)

    pairs: list[tuple[object, object]] = [
        (adds(1), adds(2)), (Slotted(1), Slotted(2)), (lambda x: x + 1, lambda x: x + 2),
        (nn.Linear(2, 2), nn.Linear(2, 2)),
        ({"c": {"d": {"e": {"f": {"g": 1}}}}}, {"c": {"d": {"e": {"f": {"g": 2}}}}}),
    ]  # fmt: skip
    for one, other in pairs:
        assert identity(one) != identity(other)
        assert identity(one) == identity(one)


def test_what_was_worked_out_meanwhile_plays_no_part() -> None:
    masks = Given(np.ones((3, 2, 2)))
    before = identity(masks)
    assert masks._level == 0.5
    assert identity(masks) == before


def test_values_of_every_kind() -> None:
    value = {"a": (1, 2.5, None), "b": {3, 1}, "c": torch.ones(2), "d": np.float32(2), "e": json.dumps, "f": Path("x")}
    assert identity(value) == identity(dict(value))
    assert json.dumps(identity(value))
    loop: list[object] = []
    loop.append(loop)
    assert json.dumps(identity(loop))
