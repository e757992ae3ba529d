"""What the room shows, and what it imports only when asked."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nervure import prune


def test_everything_that_it_names_is_there() -> None:
    assert all(hasattr(prune, name) for name in prune.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'trainings'"):
        _ = prune.trainings  # type: ignore[attr-defined]


def test_pruning_while_training_is_imported_when_it_is_used() -> None:
    code = (
        "import sys, nervure as nv; nv.prune; assert 'nervure.prune.training' not in sys.modules; "
        "print(nv.prune.training.layerwise.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "layerwise\n", done.stderr
