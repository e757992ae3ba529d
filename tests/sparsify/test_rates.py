from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from nervure.errors import InputError
from nervure.judge import Layer
from nervure.sparsify import rates

LAYERS = (Layer("a", nn.Linear(4, 2), 2), Layer("b", nn.Linear(3, 1), 1))


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), "0.5", True, [0.5]])
def test_shares_lie_between_0_and_1(value: Any) -> None:
    with pytest.raises(InputError, match=r"sparsity = .*; give the share of edges to remove, from 0 to 1"):
        rates.asked(LAYERS, value)


def test_a_layer_that_would_be_empty_is_named() -> None:
    with pytest.raises(InputError, match=r"'b' would lose all of its 3 edges at sparsity 0.9; .* allow_empty=True"):
        rates.asked(LAYERS, {"a": 0.5, "b": 0.9})
    assert rates.asked(LAYERS, {"b": 0.9}, allow_empty=True) == {"a": 0.0, "b": 0.9}
    with pytest.raises(InputError, match="'a' would lose all of its 8 edges at sparsity 1"):
        rates.asked(LAYERS, 1.0)
    assert rates.asked(LAYERS, 1.0, allow_empty=True) == {"a": 1.0, "b": 1.0}


def test_unknown_layers_and_mixtures_are_refused() -> None:
    with pytest.raises(InputError, match="sparsity names the layer 'c'; there are: a, b"):
        rates.asked(LAYERS, {"c": 0.5})
    with pytest.raises(InputError, match="ranking='global' decides each layer's share itself"):
        rates.asked(LAYERS, {"a": 0.5}, ranking="global")
    with pytest.raises(InputError, match="the pattern 2:4 removes 0.5 of the edges"):
        rates.asked(LAYERS, 0.75, pattern=(2, 4))
    with pytest.raises(InputError, match="no layer has inputs in whole groups of 16"):
        rates.asked(LAYERS, None, pattern=(8, 16))


@pytest.mark.parametrize("pattern", [(4, 2), (0, 4), (2,), (2, 4.0), (2, 2)])
def test_patterns_that_are_none(pattern: Any) -> None:
    with pytest.raises(InputError, match=r"pattern = .*; give \(n, m\)"):
        rates.known_pattern(pattern)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("layers", None, "random"), "ranking = 'layers'; did you mean 'layer'"),
        (("global", (2, 4), "input-to-output"), "a pattern takes the same share"),
        (("global", None, "random"), "orders are of ranking='layer'"),
    ],
)
def test_rankings_that_do_not_go_together(given: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        rates.known_ranking(*given)


def test_orders() -> None:
    with pytest.raises(InputError, match="order = 'output'; did you mean 'output-to-input'"):
        rates.known_order("output")
