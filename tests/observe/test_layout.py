"""Where units and examples lie."""

from collections import OrderedDict, namedtuple

import pytest
import torch
from torch import nn

from nervure.errors import InputError
from nervure.observe.layout import examples_first, first_tensor, floating, replaced, unit_axis


@pytest.mark.parametrize(
    ("module", "shape", "expected"),
    [
        (nn.Linear(5, 4), (2, 4), (2, 4)),
        (nn.Linear(5, 4), (2, 7, 4), (2, 4, 7)),
        (nn.LayerNorm(4), (2, 7, 4), (2, 4, 7)),
        (nn.Embedding(9, 4), (2, 7, 4), (2, 4, 7)),
        (nn.Conv2d(1, 4, 1), (2, 4, 7, 8), (2, 4, 7, 8)),
        (nn.Conv1d(1, 4, 1), (2, 4, 7), (2, 4, 7)),
        (nn.ReLU(), (2, 4, 7, 8), (2, 4, 7, 8)),
        (nn.LSTM(3, 4), (7, 2, 4), (2, 4, 7)),
        (nn.GRU(3, 4, batch_first=True), (2, 7, 4), (2, 4, 7)),
        (nn.MultiheadAttention(4, 2), (7, 2, 4), (2, 4, 7)),
    ],
)
def test_examples_then_units(module: nn.Module, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert examples_first(torch.zeros(shape), module, unit_axis(module), "here").shape == expected


def test_the_first_tensor_of_a_structure() -> None:
    one = torch.ones(1)
    pair = namedtuple("pair", "hidden other")
    for value in (one, (one, 3), [one], {"a": one}, ((one, 2), 3), pair(one, 2)):
        assert first_tensor(value, "here") is one
        assert first_tensor(replaced(value, torch.zeros(1)), "here").item() == 0
    assert type(replaced(OrderedDict(a=one), one)) is OrderedDict
    assert replaced(pair(one, 2), one).other == 2


@pytest.mark.parametrize("value", [None, 3, (), {}, "text"])
def test_nothing_to_observe(value: object) -> None:
    with pytest.raises(InputError, match="layer 'here'"):
        first_tensor(value, "here")


def test_packed_sequences_are_refused() -> None:
    packed = nn.utils.rnn.pack_sequence([torch.ones(3, 2)])
    with pytest.raises(InputError, match="packed"):
        first_tensor(packed, "here")


@pytest.mark.parametrize(("value", "axis"), [(torch.ones(3), 1), (torch.ones(2, 3), 2), (torch.ones(2, 3), 0)])
def test_shapes_that_do_not_fit(value: torch.Tensor, axis: int) -> None:
    with pytest.raises(InputError, match="layer 'here'"):
        examples_first(value, nn.ReLU(), axis, "here")


def test_types_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="complex"):
        examples_first(torch.ones(2, 3, dtype=torch.complex64), nn.ReLU(), 1, "here")
    with pytest.raises(InputError, match="no gradient"):
        floating(torch.ones(2, dtype=torch.int64), "here")
