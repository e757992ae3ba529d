"""All latents of a data set are those of a network at rest."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from nervure.cluster.encode import encode
from nervure.cluster.net import attach_head
from nervure.data import from_arrays
from nervure.data.batches import Loader


@pytest.mark.parametrize("norm", ["none", "batchnorm"])
def test_they_are_seen_in_evaluation_mode_which_is_not_kept(norm: str) -> None:
    ds = from_arrays(np.random.default_rng(0).normal(3, 2, size=(50, 4)), standardize=False, validation=0, test=0)
    base = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    net = attach_head(base, "scores", 3, latent=8, norm=norm).train()
    before = copy.deepcopy(net.encoder.state_dict())
    found = encode(net, Loader(ds, "train", 7), 50).latents
    assert net.training and net.encoder.training
    assert all(torch.equal(value, before[name]) for name, value in net.encoder.state_dict().items())
    with torch.no_grad():
        raw = net.eval().raw(ds.batch(np.arange(50)).x)
    expected = raw if norm == "none" else (raw - raw.mean(dim=0)) / (raw.var(dim=0, correction=0) + 1e-5).sqrt()
    assert torch.allclose(found, expected, atol=1e-4)
