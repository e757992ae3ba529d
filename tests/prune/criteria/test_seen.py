from __future__ import annotations

import pytest
import torch
from torch import nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.judge import Layer
from nervure.observe import Moments, Site
from nervure.observe.folded import Folded
from nervure.prune.criteria.seen import at, example_of
from nervure.prune.criteria.trail import Trail


def test_where_units_are_looked_at() -> None:
    layer = Layer("0", nn.Linear(1, 2), 2)
    assert at(layer, Moments()).key == ("moments",)
    read = Layer("0", nn.Conv2d(1, 2, 1), 2, Site("3", "input"), 4)
    site, statistic = at(read, Moments())
    assert site == Site("3", "input")
    assert isinstance(statistic, Folded)
    assert at(read, Moments(), "pre_bn").key == ("moments",)


def test_places_before_and_behind_the_activation() -> None:
    layer = Layer("0", nn.Linear(1, 2), 2, Site("9", "input"))
    trail = Trail(norm="1", active=Site("2"))
    assert at(layer, Moments(), "pre_act", trail)[0] == Site("2", "input")  # type: ignore[index]
    assert at(layer, Moments(), "active", trail)[0] == Site("2")  # type: ignore[index]
    functional = Trail(norm="1")
    assert at(layer, Moments(), "pre_act", functional)[0] == Site("1")  # type: ignore[index]
    assert at(layer, Moments(), "active", functional)[0] == Site("9", "input")  # type: ignore[index]
    assert at(layer, Moments(), "pre_act", Trail()).key == ("moments",)


def test_examples() -> None:
    empty = Batch(torch.zeros(0, 2), None, torch.arange(0))
    full = Batch(torch.ones(1, 2), None, torch.arange(1))
    assert example_of([empty, full]).x.shape == (1, 2)
    four = Batch(torch.ones(4, 2), torch.arange(4), torch.arange(4), torch.ones(4, 2, dtype=torch.bool))
    assert [len(part) for part in example_of([four]) if part is not None] == [2, 2, 2, 2]
    assert example_of([torch.ones(4, 2)]).x.shape == (2, 2)
    with pytest.raises(InputError, match="no batches"):
        example_of([empty])
