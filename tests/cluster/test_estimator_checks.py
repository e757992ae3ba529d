"""scikit-learn's own checks of an estimator, on every clusterer of the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from nervure.cluster import clusterers

DENSE = {"network": "autoencoder", "network_options": {"widths": [16]}, "latent": 2}
SCORES = {"network": "mlp", "network_options": {"widths": [16]}}
# one epoch does for the conventions; what must find three groups in a check needs some more
SETTINGS: dict[str, dict[str, Any]] = {
    "neural-mixture": {**SCORES, "epochs": 5, "lr": 0.01},
    "iic": {**SCORES, "epochs": 30, "lr": 0.01},
    "deep-cluster": {**SCORES, "epochs": 5, "lr": 0.01},
}


def estimators() -> list[Any]:
    return [
        clusterers.get(name)(2, **SETTINGS.get(name, {**DENSE, "epochs": 2, "lr": 0.01})) for name in clusterers.names()
    ]


@parametrize_with_checks(estimators())
def test_conventions(estimator: Any, check: Callable[[Any], None], caplog: pytest.LogCaptureFixture) -> None:
    check(estimator)
