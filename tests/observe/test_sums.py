"""Sums: states that add up."""

import pytest
import torch

from nervure.errors import InputError
from nervure.observe import Gram


def test_merging_leaves_the_other_alone() -> None:
    one, two = Gram(), Gram()
    two.update(torch.ones(2, 3), None)
    one.merge(two)
    one.update(torch.ones(2, 3), None)
    assert two.result().count == 2
    assert one.result().count == 4


def test_a_loaded_state_is_copied() -> None:
    one, two = Gram(), Gram()
    one.update(torch.ones(2, 3), None)
    two.load_state(one.state())
    two.update(torch.ones(2, 3), None)
    assert float(one.result().gram[0, 0]) == 2


def test_changing_units_is_an_error() -> None:
    gram = Gram()
    gram.update(torch.ones(2, 3), None)
    with pytest.raises(InputError, match="units must not change"):
        gram.update(torch.ones(2, 4), None)


def test_asking_before_the_first_batch_is_an_error() -> None:
    with pytest.raises(InputError, match="Gram has seen no activations"):
        Gram().result()
