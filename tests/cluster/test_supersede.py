from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nervure import cluster
from nervure.errors import InterruptedWork
from nervure.train import Progress

Blobs = tuple[NDArray[np.float32], NDArray[np.int64]]


@pytest.mark.parametrize("steps", [3, 8], ids=["while the first seed is tried", "while the second is"])
def test_what_replaces_a_run_goes_on_too(steps: int, blobs: Blobs, tmp_path: Path) -> None:
    def model(lr: float) -> cluster.NeuralMixture:
        return cluster.NeuralMixture(3, n_init=2, random_state=0, epochs=6, batch_size=75, lr=lr, patience=0)

    x = blobs[0]
    model(5e-3).fit_run(x, out=tmp_path)
    (tmp_path / "report.html").write_text("old")
    with pytest.raises(KeyError):  # nothing is there yet to take its place
        model(1e-3).fit_run(x, out=tmp_path, overwrite=True, progress=lambda where: {}[where])
    assert (tmp_path / "run.json").exists()
    asked = iter([False] * steps)
    with pytest.raises(InterruptedWork, match=f"{tmp_path}: go on with --resume"):
        model(1e-3).fit_run(x, out=tmp_path, overwrite=True, stop=lambda: next(asked, True))
    assert [held.name for held in tmp_path.iterdir()] == ["checkpoint"]
    seen: list[Progress] = []
    run = model(1e-3).fit_run(x, out=tmp_path, resume=True, progress=seen.append)
    assert run.history[-1]["train_loss"] == model(1e-3).fit_run(x).history[-1]["train_loss"]
    assert seen[0].step > 1 or seen[0].epoch > 0
