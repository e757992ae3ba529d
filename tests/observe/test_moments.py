"""Moments and norms against numpy."""

import numpy as np
import torch

from nervure.observe import Moments, Norms


def test_equal_numpy_over_batches_of_maps() -> None:
    values = np.random.default_rng(0).normal(2, 3, size=(17, 4, 3, 5)).astype(np.float32)
    moments, norms = Moments(), Norms()
    for part in np.array_split(values, 4):
        moments.update(torch.from_numpy(part), None)
        norms.update(torch.from_numpy(part), None)
    wide = values.astype(np.float64)
    found = moments.result()
    assert (found.examples, found.count) == (17, 255)
    np.testing.assert_allclose(found.mean, wide.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(found.sd, wide.std((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(found.variance, wide.var((0, 2, 3)), rtol=1e-12)
    assert found.minimum.tolist() == wide.min((0, 2, 3)).tolist()
    assert found.maximum.tolist() == wide.max((0, 2, 3)).tolist()
    for both in (found, norms.result()):
        np.testing.assert_allclose(both.l1, np.abs(wide).sum((0, 2, 3)), rtol=1e-12)
        np.testing.assert_allclose(both.l2, np.sqrt((wide**2).sum((0, 2, 3))), rtol=1e-12)


def test_a_constant_unit_has_no_variance() -> None:
    moments = Moments()
    for _ in range(3):
        moments.update(torch.full((7, 2), 0.1), None)
    assert moments.result().variance.tolist() == [0.0, 0.0]
