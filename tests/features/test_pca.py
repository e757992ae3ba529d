from __future__ import annotations

import numpy as np
import pytest

from nervure.errors import InputError
from nervure.features.pca import pca, pca_scores

X = np.random.default_rng(0).normal(size=(40, 6)) @ np.random.default_rng(1).normal(size=(6, 6))


def test_components_are_those_of_the_covariance() -> None:
    axes, variances = pca(X)
    assert axes.T @ axes == pytest.approx(np.eye(6), abs=1e-6)
    assert variances == pytest.approx(np.linalg.eigvalsh(np.cov(X.T))[::-1])
    assert np.cov((X @ axes).T) == pytest.approx(np.diag(variances), abs=1e-9)


def test_scores_are_loadings_weighed_by_their_share() -> None:
    values, vectors = np.linalg.eigh(np.cov(X.T))
    values, vectors = values[::-1] / values.sum(), vectors[:, ::-1]
    enough = int((np.cumsum(values) < 0.95).sum()) + 1
    wanted = sum(values[i] * np.abs(vectors[:, i]) for i in range(enough))
    assert pca_scores(X) == pytest.approx(wanted)
    assert (pca_scores(X) >= 0).all()


def test_permuted_columns_have_permuted_scores_and_scale_is_felt() -> None:
    order = np.array([3, 1, 5, 0, 2, 4])
    assert pca_scores(X[:, order]) == pytest.approx(pca_scores(X)[order])
    assert pca_scores(X * [100, 1, 1, 1, 1, 1]).argmax() == 0


def test_columns_that_do_not_vary() -> None:
    assert (pca_scores(np.ones((5, 3))) == 1).all()
    assert pca_scores(np.ones((1, 3))).tolist() == [1, 1, 1]
    # The mean of equal numbers is not always that number.
    assert pca_scores(np.tile([0.1, 0.5, 0.3], (7, 1))).tolist() == [1, 1, 1]
    for wrong in (np.ones(3), np.ones((0, 3))):
        with pytest.raises(InputError, match="give \\(samples, columns\\)"):
            pca(wrong)
