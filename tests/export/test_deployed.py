from __future__ import annotations

import copy
from collections import namedtuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nervure.data.dataset import Preprocessing
from nervure.errors import InputError
from nervure.export import Deployed
from nervure.export.deployed import name_outputs, own_copy


@settings(max_examples=30, deadline=None)
@given(
    scale=st.sampled_from([1.0, 1 / 255, 1 / 16, 3.7]),
    channels=st.integers(1, 3),
    rest=st.sampled_from([(), (5,), (4, 3)]),
    standardises=st.booleans(),
    each=st.sampled_from(["", "min-max"]),
    clip=st.booleans(),
)
def test_preprocessing_in_the_module_is_preprocessing_to_the_bit(scale, channels, rest, standardises, each, clip):
    mean = tuple(0.1 + 0.3 * i for i in range(channels)) if standardises else ()
    std = tuple(0.7 + 0.3 * i for i in range(channels)) if standardises else ()
    preprocessing = Preprocessing(scale, mean, std, each, clip)
    x = torch.linspace(-3, 255, 2 * channels * int(np.prod(rest))).reshape(2, channels, *rest)
    assert torch.equal(Deployed(nn.Identity(), preprocessing)(x)["output"], preprocessing(x))


def test_probabilities_are_the_softmax_of_the_logits():
    x = torch.tensor([[0.0, 1.0, 2.0], [5.0, 5.0, 5.0]])
    found = Deployed(nn.Identity(), task="classification")(x)
    by_hand = np.exp(x.numpy()) / np.exp(x.numpy()).sum(1, keepdims=True)
    np.testing.assert_allclose(found["probabilities"], by_hand, rtol=1e-6)


def test_padding_is_zero_after_preprocessing_and_the_mask_arrives(nets):
    preprocessing = Preprocessing(1.0, (1.0, 1.0), (1.0, 1.0))
    mask = torch.tensor([[True, True, False]])
    x = torch.zeros(1, 2, 3)
    kept = Deployed(nn.Identity(), preprocessing)(x, mask)["output"]
    assert kept.tolist() == [[[-1.0, -1.0, 0.0], [-1.0, -1.0, 0.0]]]
    net = nets.Series().eval()
    assert torch.equal(Deployed(net, preprocessing)(x, mask)["output"], net(kept, mask))
    x = torch.tensor([[[2.0, 4.0, 99.0], [3.0, 6.0, -99.0]]])
    stretched = Deployed(nn.Identity(), Preprocessing(each="min-max"))(x, mask)["output"]
    assert stretched.tolist() == [[[0.0, 0.5, 0.0], [0.25, 1.0, 0.0]]]


def test_outputs_get_names():
    a, b = torch.zeros(1, 2), torch.ones(1, 3)
    Pair = namedtuple("Pair", "picture code")
    assert list(name_outputs([a, b], "none")) == ["output", "output_1"]
    assert list(name_outputs(Pair(a, b), "none")) == ["picture", "code"]
    assert list(name_outputs({"logits": a, "gate": b}, "classification")) == [
        "logits",
        "probabilities",
        "gate",
    ]
    assert list(name_outputs((a, b), "classification")) == ["logits", "probabilities", "output_1"]
    assert list(name_outputs(a, "clustering")) == ["logits", "probabilities"]


def test_a_network_says_what_is_left_without_training():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.decoder = nn.Linear(2, 2), nn.Linear(2, 2)

        def deployable(self):
            return copy.deepcopy(self.used)

        def forward(self, x):
            return self.used(x)

    both = Both()
    made = own_copy(both)
    assert isinstance(made, nn.Linear)
    assert torch.equal(made.weight, both.used.weight)
    assert both.used.weight.requires_grad


@pytest.mark.parametrize("output", [None, 3.0, (torch.zeros(1), (torch.zeros(1),)), ()])
def test_an_output_that_is_no_tensor_is_refused(output):
    with pytest.raises(InputError, match="return a tensor or several tensors"):
        name_outputs(output, "none")
