from __future__ import annotations

import numpy as np
import pytest

from nervure import data
from nervure.cluster import DCAEKMeans


@pytest.mark.parametrize(("profile", "epochs"), [("paper", 0), ("robust", 20), ("quick", 10)])
def test_a_bad_start_is_forgotten_but_by_the_published_recipe(profile: str, epochs: int) -> None:
    ds = data.from_arrays(np.zeros((30, 6)), validation=0, test=0)
    assert DCAEKMeans(3, profile=profile).method(ds, 0, 0).head_options["refit_epochs"] == epochs
    assert DCAEKMeans(3, profile=profile, refit_epochs=4).method(ds, 0, 0).head_options["refit_epochs"] == 4
