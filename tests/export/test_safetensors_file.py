from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from nervure.errors import NervureError
from nervure.export import write


def test_weights_are_the_networks_own_and_fit_it(written, nets):
    case = written["image"]
    weights = load_file(case.files["safetensors"].path)
    net = nets.Small()
    net.load_state_dict(weights, strict=True)
    assert torch.equal(net.eval()(case.preprocessing(case.x)), case.logits)


def test_metadata_lies_in_the_header(written):
    with safe_open(written["series"].files["safetensors"].path, framework="pt") as file:
        held = file.metadata()
    assert held["format"] == "pt"
    assert json.loads(held["nervure.preprocessing"]) == {"scale": 1.0, "mean": [0.3, -0.2], "std": [2.0, 0.5]}


def test_the_same_network_gives_the_same_bytes(tmp_path):
    net, x = nn.Linear(3, 2), torch.rand(4, 3)
    paths = [tmp_path / f"{i}.safetensors" for i in range(6)]
    for path in paths:
        write(net, path, "safetensors", samples=x, names=("a", "b"), origin_json={"steps": []})
    assert len({path.read_bytes() for path in paths}) == 1


def test_tied_weights_are_written(tmp_path):
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    done = write(net, tmp_path / "a.safetensors", "safetensors", samples=torch.rand(4, 3))
    assert done.largest_difference == 0


def test_a_weight_that_is_not_in_the_file_is_noticed(tmp_path, monkeypatch):
    import safetensors.torch

    real = safetensors.torch.save
    monkeypatch.setattr(
        safetensors.torch, "save", lambda weights, metadata: real({"weight": weights["weight"]}, metadata)
    )
    with pytest.raises(NervureError, match="cannot be loaded"):
        write(nn.Linear(3, 2), tmp_path / "a.safetensors", "safetensors", samples=torch.rand(4, 3))
    assert list(tmp_path.iterdir()) == []
