from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from nervure.data.dataset import Preprocessing
from nervure.errors import InputError, NervureError
from nervure.export.parity import cases, check, difference, disagreement

values = arrays(np.float32, (4, 3), elements=st.floats(-100, 100, width=32))


@settings(max_examples=40, deadline=None)
@given(values, values)
def test_difference_is_the_loop_over_samples(found, wanted):
    scale = np.abs(wanted).max() or 1.0
    by_hand = max(float(np.abs(a.astype(float) - b.astype(float)).max()) for a, b in zip(found, wanted, strict=True))
    got = difference({"output": torch.from_numpy(found)}, {"output": torch.from_numpy(wanted)})
    assert got.value == pytest.approx(by_hand / scale, rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(values, st.sampled_from([2.0**-6, 2.0, 2.0**10]))
def test_difference_does_not_know_the_unit(wanted, factor):
    found = wanted + np.float32(1)
    if not np.abs(wanted).max() > 1e-3:
        return
    one = difference({"a": torch.from_numpy(found)}, {"a": torch.from_numpy(wanted)})
    other = difference({"a": torch.from_numpy(found * factor)}, {"a": torch.from_numpy(wanted * factor)})
    assert other.value == pytest.approx(one.value, rel=1e-6)


@pytest.mark.parametrize(
    "found",
    [{}, {"a": torch.zeros(2, 4)}, {"a": torch.full((2, 3), float("nan"))}],
    ids=["missing", "other shape", "nan"],
)
def test_what_cannot_be_compared_differs_by_infinity(found):
    assert difference(found, {"a": torch.ones(2, 3)}).value == float("inf")


@pytest.mark.parametrize(
    ("found", "wanted", "value", "sample"),
    [
        (torch.tensor([True, True]), torch.tensor([True, False]), 1.0, 1),
        (torch.tensor([False]), torch.tensor([False]), 0.0, 0),
        (torch.tensor(3.0), torch.tensor(4.0), 0.25, 0),
        (torch.tensor([3 + 4j, 0j]), torch.tensor([3 + 4j, 5j]), 1.0, 1),
        (torch.tensor([3.0, 0.0]), torch.tensor([3 + 4j, 0j]), 0.8, 0),
    ],
    ids=["bool", "equal", "scalar", "complex", "real for complex"],
)
def test_outputs_of_every_type_and_shape_are_compared(found, wanted, value, sample):
    assert difference({"a": found}, {"a": wanted}) == (pytest.approx(value), "a", sample)


def test_a_class_that_flips_within_its_margin_is_no_disagreement():
    wanted = torch.tensor([[1.0, 0.0], [1.0, 0.99999]])
    assert disagreement(torch.tensor([[1.0, 0.0], [1.0, 1.00001]]), wanted, 1e-4) is None
    assert disagreement(torch.tensor([[1.0, 0.0], [1.0, 1.00001]]), wanted, 1e-6) == 1


def test_references_are_computed_at_one_three_and_all():
    found = cases(nn.Identity(), Preprocessing(2.0), "none", torch.ones(2, 4), None)
    assert {size: len(outputs["output"]) for size, outputs in found.references.items()} == {1: 1, 3: 3}
    assert found.references[3]["output"].unique().tolist() == [2.0]


def test_samples_of_the_wrong_shape_say_so():
    with pytest.raises(InputError, match=r"does not run on 1 samples of shape \(4,\)"):
        cases(nn.Linear(3, 2), Preprocessing(), "none", torch.ones(5, 4), None)


def test_a_network_that_gives_nan_is_refused():
    with pytest.raises(NervureError, match="NaN or infinity"):
        cases(nn.ReLU(), Preprocessing(mean=(0.0,), std=(0.0,)), "none", torch.ones(5, 1), None)


@pytest.mark.parametrize("size", [1, 3, 6])
def test_a_file_that_is_wrong_at_one_batch_size_only_is_caught(size):
    net = nn.Linear(4, 2)
    wanted = cases(net, Preprocessing(), "none", torch.rand(6, 4), None)

    def runner(x, mask):
        return {"output": net(x) + (0.5 if len(x) == size else 0.0)}

    with pytest.raises(NervureError, match=f"form: .* at batch size {size}"):
        check(runner, wanted, "form", 1e-4)


def test_the_sample_and_the_largest_difference_are_named():
    net = nn.Identity()
    wanted = cases(net, Preprocessing(), "none", torch.ones(6, 4), None)

    def runner(x, mask):
        x = x.clone()
        if len(x) == 6:
            x[4] += 0.25
        return {"output": x}

    with pytest.raises(NervureError, match=r"output differs .* by 0\.25 .* on sample 4 at batch size 6"):
        check(runner, wanted, "form", 1e-4)
    assert check(runner, wanted, "form", 0.3) == pytest.approx(0.25)


def test_a_class_that_changes_beyond_its_margin_is_refused_within_a_wide_tolerance():
    x = torch.tensor([[10.0, 0.0, -10.0]] * 3)
    x[2] = torch.tensor([3.0, 0.0, 0.0])
    wanted = cases(nn.Identity(), Preprocessing(), "classification", x, None)

    def runner(x, mask):
        logits = x.clone()
        if len(x) == 3:
            logits[2] = torch.tensor([1.0, 1.5, 0.0])
        return {"logits": logits, "probabilities": torch.softmax(x, 1)}

    with pytest.raises(NervureError, match="another class on sample 2 at batch size 3"):
        check(runner, wanted, "form", 0.25)


def test_a_file_that_fails_to_run_is_refused():
    wanted = cases(nn.Identity(), Preprocessing(), "none", torch.ones(3, 4), None)

    def runner(x, mask):
        raise RuntimeError("no such kernel\nmore")

    with pytest.raises(NervureError, match=r"fails on 1 samples \(no such kernel\), so it was not written"):
        check(runner, wanted, "form", 1e-4)
