"""Zero fraction by hand."""

import torch

from nervure.observe import ZeroFraction

VALUES = torch.tensor([[0.0, 1.0, -1.0], [-0.0, 0.0, -2.0]])


def test_exact_zeros() -> None:
    zeros = ZeroFraction()
    zeros.update(VALUES, None)
    assert zeros.result().tolist() == [1.0, 0.5, 0.0]


def test_after_relu_equals_zeros_of_relu() -> None:
    before, behind = ZeroFraction(after_relu=True), ZeroFraction()
    before.update(VALUES, None)
    behind.update(VALUES.relu(), None)
    assert before.result().tolist() == behind.result().tolist() == [1.0, 0.5, 1.0]
    assert before.key != behind.key
