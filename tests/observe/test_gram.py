"""Gram matrices against numpy."""

import numpy as np
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
