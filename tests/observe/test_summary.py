"""The summary and what is read from it."""

import pytest
import torch

from nervure.errors import InputError, MissingExtra
from nervure.observe import Histogram, Moments, summary
from nervure.observe.summary import Summary, flat


def test_flat_takes_every_real_type() -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.uint8, torch.bool):
        assert flat(torch.ones(2, 3, dtype=dtype)).dtype == torch.float32
    assert flat(torch.ones(2, 3, 4, 5).to(memory_format=torch.channels_last)).is_contiguous()


def test_channels_last_gives_the_same() -> None:
    values = torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    one, two = Summary(16), Summary(16)
    one.update(values, None)
    two.update(values.to(memory_format=torch.channels_last), None)
    assert all(torch.equal(part, two.state()[name]) for name, part in one.state().items())


def test_an_empty_batch_changes_nothing() -> None:
    moments = Moments()
    moments.update(torch.zeros(0, 3), None)
    assert moments.state() == {}
    moments.update(torch.ones(2, 3), None)
    moments.update(torch.zeros(0, 3), None)
    assert moments.result().examples == 2


def test_asking_before_the_first_batch_is_an_error() -> None:
    with pytest.raises(InputError, match="Moments has seen no activations"):
        Moments().result()
    with pytest.raises(InputError, match="Histogram has seen no activations"):
        Histogram().result()
    with pytest.raises(InputError, match="Summary has seen no activations"):
        Summary().result()


def test_changing_units_is_an_error() -> None:
    moments = Moments()
    moments.update(torch.ones(2, 3), None)
    with pytest.raises(InputError, match="4 units now and 3 before"):
        moments.update(torch.ones(2, 4), None)


def test_a_shared_summary_is_copied_before_a_reading_changes() -> None:
    shared = Summary(64)
    shared.update(torch.arange(6.0).view(3, 2), None)
    one, two = Histogram(64), Moments()
    one.share(shared)
    two.share(shared)
    one.merge(one)
    assert one.result().counts.sum(1).tolist() == [6, 6]
    assert two.result().count == 3
    two.update(torch.ones(1, 2), None)
    assert (two.result().count, shared.result().count) == (4, 3)


def test_a_reading_saves_only_what_it_needs() -> None:
    shared = Summary(1024)
    shared.update(torch.arange(6.0).view(3, 2), None)
    moments, histogram = Moments(), Histogram(8)
    for reading in (moments, histogram):
        reading.share(shared)
    assert "counts" not in moments.state()
    assert histogram.state()["counts"].shape == (2, 8)


def test_results_of_both_forms_can_be_used_with_gradients() -> None:
    for compiled in (None, False):
        with torch.inference_mode():
            source = Summary(8, compiled=compiled)
            with torch.inference_mode(False):
                source.update(torch.ones(2, 3), None)
        assert not source.result().total.is_inference()


def test_insisting_on_kernels_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "_numba_installed", lambda: False)
    with pytest.raises(MissingExtra, match="nervure\\[fast\\]"):
        Summary(compiled=True)
    quiet = Summary(8)
    quiet.update(torch.ones(2, 3), None)
    assert quiet.result().count == 2
