"""The table of callbacks, and what each of its rows keeps."""

from __future__ import annotations

import pytest

from nervure.errors import InputError
from nervure.train import callbacks
from nervure.train.callbacks import Callback
from nervure.train.recipe import CallbackSpec


def test_a_recipe_names_them_with_options() -> None:
    made = callbacks.make(CallbackSpec(name="weight-average", options={"decay": 0.5}))
    assert made.decay == 0.5  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="unknown callback 'weight-avrage'; did you mean 'weight-average'"):
        callbacks.make(CallbackSpec(name="weight-avrage"))
    with pytest.raises(InputError, match="callback 'weight-average' has no setting 'decai'; did you mean 'decay'"):
        callbacks.make(CallbackSpec(name="weight-average", options={"decai": 0.5}))


@pytest.mark.parametrize("name", callbacks.names())
def test_each_row_is_a_callback(name: str) -> None:
    assert issubclass(callbacks.get(name), Callback)  # type: ignore[arg-type]


def test_one_that_does_nothing() -> None:
    plain = Callback()
    assert plain.state_dict() == {}
    plain.load_state_dict({})
    assert plain.after_epoch(None, {}) is None  # type: ignore[arg-type]
