"""A place hands each value to its statistics once."""

import pytest
import torch
from torch import nn

from nervure.errors import InputError
from nervure.observe import Gram, Moments, Site, Votes
from nervure.observe.place import Place


def test_the_handle_removes_the_hook() -> None:
    layer = nn.Linear(2, 3)
    place = Place(Site("layer"), layer, [Moments(), Votes()])
    handle = place.attach()
    layer(torch.ones(2, 2))
    handle.remove()
    layer(torch.ones(2, 2))
    assert place.statistics()[("moments",)].result().examples == 2
    assert place.statistics()[Votes().key].result().examples == 2


def test_values_are_taken_before_what_follows_writes_in_place() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(inplace=True))
    with torch.no_grad():
        net[0].weight.fill_(-1)
        net[0].bias.fill_(0)
    place = Place(Site("0"), net[0], [Moments()])
    place.attach()
    with torch.no_grad():
        net(torch.ones(1, 2))
    assert place.statistics()[("moments",)].result().mean.tolist() == [-2.0, -2.0, -2.0]


def test_errors_name_the_layer() -> None:
    relu = nn.ReLU()
    place = Place(Site("block.relu"), relu, [Gram()])
    place.attach()
    with pytest.raises(InputError, match=r"layer 'block\.relu'"):
        relu(torch.ones(3))
