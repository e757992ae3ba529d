"""Where units and examples lie."""

from collections import OrderedDict, namedtuple

import pytest
import torch
from torch import nn

from nervure.errors import InputError
from nervure.observe.layout import examples_first, first_tensor, floating, replaced, steps, time_first, unit_axis


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
        (nn.TransformerEncoderLayer(4, 2, 8), (7, 2, 4), (2, 4, 7)),
        (nn.TransformerDecoderLayer(4, 2, 8), (7, 2, 4), (2, 4, 7)),
        (nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), (2, 7, 4), (2, 4, 7)),
        (nn.Transformer(4, 2, custom_encoder=nn.Identity(), custom_decoder=nn.Identity()), (7, 2, 4), (2, 4, 7)),
    ],
)
def test_examples_then_units(module: nn.Module, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert examples_first(torch.zeros(shape), module, unit_axis(module), "here").shape == expected


@pytest.mark.parametrize(
    ("module", "shape", "examples", "expected"),
    [
        (nn.Linear(5, 4), (7, 2, 4), 2, True),
        (nn.Linear(5, 4), (2, 7, 4), 2, False),
        (nn.Linear(5, 4), (2, 2, 4), 2, None),
        (nn.Linear(5, 4), (6, 7, 4), 2, False),
        (nn.Linear(5, 4), (7, 2, 4), None, False),
        (nn.Linear(5, 4), (7, 2, 3, 4), 2, False),
        (nn.Conv1d(5, 2, 1), (14, 2, 4), 2, False),
        (nn.LSTM(3, 4), (2, 2, 4), 2, True),
        (nn.LSTM(3, 4, batch_first=True), (7, 2, 4), 2, False),
        (nn.TransformerEncoderLayer(4, 2, 8), (2, 2, 4), 2, True),
    ],
)
def test_time_before_examples(
    module: nn.Module, shape: tuple[int, ...], examples: int | None, expected: bool | None
) -> None:
    assert time_first(torch.zeros(shape), module, unit_axis(module), examples) is expected


def test_steps_folded_into_the_batch() -> None:
    assert [steps(rows, 4) for rows in (4, 12)] == [1, 3]
    with pytest.raises(InputError, match="6 rows for 4 examples.*batch_first=True"):
        steps(6, 4)


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
