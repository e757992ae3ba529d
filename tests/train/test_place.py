from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nervure import data, nets, store, train
from nervure.train import Callback, Loop, Recipe


class KeepsOne(Callback):
    """Keeps the network of the second epoch under a name of its own."""

    def after_epoch(self, loop: Loop, row: dict[str, Any]) -> None:
        if row["epoch"] == 2:
            assert loop.place is not None
            loop.place.keep_size(loop, "second", loop.net.state_dict(), {"validation_accuracy": 0.5})


@pytest.mark.parametrize("finished", [True, False])
def test_what_another_training_left_goes_when_something_takes_its_place(tmp_path: Path, finished: bool) -> None:
    ds = data.load("digits")
    net, out = nets.build("mlp", ds, widths=(4,)), tmp_path / "run"
    first = train.fit(net, ds, Recipe(epochs=2), out=out, device="cpu", callbacks=[KeepsOne()])
    kept = store.load(out / "sizes" / "second")
    assert kept.metrics == {"validation_accuracy": 0.5, "parameters": 64 * 4 + 4 + 4 * 10 + 10}
    assert [one.name for one in kept.lineage] == ["train"]
    assert kept.net.training is False
    assert store.load(out).fingerprint == first.fingerprint
    if not finished:
        (out / "run.json").unlink()
    train.fit(net, ds, Recipe(epochs=1), out=out, overwrite=True, device="cpu")
    assert not (out / "sizes").exists()
