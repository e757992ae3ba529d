"""Gram matrices against numpy."""

import numpy as np
import pytest
import torch

from nervure.observe import Gram


def test_equals_numpy() -> None:
    values = np.random.default_rng(0).normal(1, 2, size=(9, 4, 3, 5)).astype(np.float32)
    gram = Gram()
    for part in np.array_split(values, 2):
        gram.update(torch.from_numpy(part), None)
    rows = values.transpose(1, 0, 2, 3).reshape(4, -1).astype(np.float64)
    found = gram.result()
    np.testing.assert_allclose(found.gram, rows @ rows.T, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(found.covariance, np.cov(rows, bias=True), rtol=1e-9, atol=1e-12)
    assert found.count == 9 * 15


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_are_seen_in_the_sums_of_units_alone(
    bad: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    gram = Gram()
    assert gram.finite()
    # Looked at after every batch: a look at units x units would cost more than their products did.
    looked = []
    plain = torch.Tensor.isfinite
    monkeypatch.setattr(torch.Tensor, "isfinite", lambda one: looked.append(one.ndim) or plain(one))
    for value, fine in ((1.0, True), (bad, False)):
        gram.update(torch.tensor([[value, 2.0], [3.0, 4.0]]), None)
        assert gram.finite() is fine
    assert set(looked) == {1}


def test_products_beyond_the_largest_number_are_seen() -> None:
    gram = Gram()
    gram.update(torch.tensor([[1e200, 2.0]], dtype=torch.float64), None)
    assert not gram.finite()
