import copy
import json

import numpy as np
import pytest
import torch
from torch import nn

from nervure import nets
from nervure.errors import InputError
from nervure.nets.resize import difference, rebuild


def keep(parameter, *index):
    value = parameter.detach()
    for dim, chosen in index:
        value = value.index_select(dim, torch.tensor(chosen))
    return nn.Parameter(value.clone())


def cut_norm(norm, chosen):
    norm.weight, norm.bias = keep(norm.weight, (0, chosen)), keep(norm.bias, (0, chosen))
    for name in ("running_mean", "running_var"):
        setattr(norm, name, getattr(norm, name)[torch.tensor(chosen)])
    norm.num_features = len(chosen)


def round_trip(old, cut, *inputs):
    """Cut to JSON, rebuilt on a fresh network of the old size, loaded strictly: the same outputs."""
    settings = json.loads(json.dumps(difference(old, cut)))
    fresh = rebuild(copy.deepcopy(old), settings)
    fresh.load_state_dict(cut.state_dict(), strict=True)
    fresh.eval(), cut.eval()
    with torch.no_grad():
        one, two = fresh(*inputs), cut(*inputs)
    for a, b in zip(_flat(one), _flat(two), strict=True):
        assert torch.equal(a, b)
    return fresh, settings


def _flat(value):
    return [value] if torch.is_tensor(value) else [leaf for part in value for leaf in _flat(part)]


def test_conv_norm_linear_chain():
    old = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.Flatten(), nn.Linear(48, 2)
    )
    old(torch.randn(5, 1, 8, 8))
    cut = copy.deepcopy(old)
    chosen = [0, 3]
    cut[0].weight, cut[0].bias = keep(old[0].weight, (0, chosen)), keep(old[0].bias, (0, chosen))
    cut[0].out_channels = cut[3].in_channels = 2
    cut_norm(cut[1], chosen)
    cut[3].weight = keep(old[3].weight, (1, chosen))
    fresh, settings = round_trip(old, cut, torch.randn(2, 1, 8, 8))
    assert settings["modules"]["0"] == {
        "attributes": {"out_channels": 2},
        "parameters": {"weight": [2, 1, 3, 3], "bias": [2]},
    }
    assert settings["modules"]["1"]["buffers"] == {"running_mean": [2], "running_var": [2]}
    assert set(settings["modules"]) == {"0", "1", "3"}
    assert fresh[1].num_features == 2


class Tokens(nn.Module):
    """Every other kind of module that has a size, and a parameter of its own."""

    def __init__(self, size, heads, hidden):
        super().__init__()
        self.size = size
        self.table = nn.Embedding(10, size)
        self.scale = nn.Parameter(torch.ones(size))
        self.norm = nn.LayerNorm(size)
        self.attention = nn.MultiheadAttention(size, heads, batch_first=True)
        self.conv = nn.Conv1d(size, size, 3, padding=1, groups=size)
        self.group = nn.GroupNorm(heads, size)
        self.lstm = nn.LSTM(size, hidden, num_layers=2, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(2 * hidden, hidden, batch_first=True)
        self.up = nn.ConvTranspose1d(hidden, hidden, 2, stride=2)
        self.register_buffer("position", torch.arange(size, dtype=torch.float32) / 7, persistent=False)

    def forward(self, ids):
        x = self.norm(self.table(ids) * self.scale + self.position)
        x = self.attention(x, x, x, need_weights=False)[0]
        x = self.group(self.conv(x.transpose(1, 2))).transpose(1, 2)
        assert x.shape[-1] == self.size
        return self.up(self.gru(self.lstm(x)[0])[0].transpose(1, 2))


def test_every_kind_of_module_with_a_size():
    old, new = Tokens(12, 3, 6), Tokens(8, 2, 5)
    fresh, _ = round_trip(old, new, torch.tensor([[1, 2, 3, 4]]))
    assert repr(fresh) == repr(new)
    assert fresh.norm.normalized_shape == (8,)
    assert fresh.attention.head_dim == 4
    assert torch.equal(fresh.position, new.position)
    assert all(a is b for a, b in zip(fresh.lstm._flat_weights, fresh.lstm.parameters(), strict=True))


def test_parameters_that_came_and_went():
    old, new = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2, bias=False)), None
    new = copy.deepcopy(old)
    new[0].bias = None
    new[1].bias = nn.Parameter(torch.ones(2))
    _, settings = round_trip(old, new, torch.randn(1, 3))
    assert settings["modules"] == {"0": {"parameters": {"bias": None}}, "1": {"parameters": {"bias": [2]}}}


def test_shared_parameters_stay_shared_and_types_stay():
    def make(size, dtype=torch.float64):
        net = nn.ModuleDict({"a": nn.Linear(size, size), "b": nn.Linear(size, size)}).to(dtype)
        net["b"].weight = net["a"].weight
        net["a"].bias.requires_grad_(False)
        return net

    old, new = make(3), make(2)
    fresh = rebuild(make(3), difference(old, new))
    assert fresh["a"].weight is fresh["b"].weight
    assert fresh["a"].weight.dtype == torch.float64
    assert not fresh["a"].bias.requires_grad


def test_numbers_of_numpy_are_plain_in_the_settings():
    new = nn.Conv1d(2, 2, 1)
    new.out_channels, new.stride = np.int64(2), (np.int64(1),)
    assert difference(nn.Conv1d(2, 2, 1), new) == {"modules": {}}
    new.out_channels, new.stride = np.int64(5), (np.int64(2),)
    text = json.dumps(difference(nn.Conv1d(2, 2, 1), new))
    assert json.loads(text)["modules"][""] == {"attributes": {"out_channels": 5, "stride": [2]}}


def test_nothing_differs():
    net = Tokens(12, 3, 6)
    assert difference(net, copy.deepcopy(net)) == {"modules": {}}


def test_resnet_cut_through_origin_has_the_published_cost():
    """Half of every block's inner units: 4.152E+07 (spec majority-voting-pruning, 13)."""
    old = nets.build("resnet20", in_shape=(3, 32, 32), classes=10)
    cut = copy.deepcopy(old)
    for stage in cut.stages:
        for block in stage:
            chosen = list(range(0, block.conv1.out_channels, 2))
            block.conv1.weight = keep(block.conv1.weight, (0, chosen))
            block.conv2.weight = keep(block.conv2.weight, (1, chosen))
            block.conv1.out_channels = block.conv2.in_channels = len(chosen)
            cut_norm(block.norm1, chosen)
    cut = nets.derive(old, cut, nets.Step("resize", difference(old, cut)))
    assert f"{nets.count(cut, (3, 32, 32), unit='flop2').ops:.3e}" == "4.152e+07"
    origin = nets.Origin.from_json(json.loads(json.dumps(nets.origin_of(cut).to_json())))
    fresh = nets.rebuild(origin)
    fresh.load_state_dict(cut.state_dict(), strict=True)
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(fresh.eval()(x), cut.eval()(x))
    assert nets.origin_of(fresh) == origin
    assert len(nets.origin_of(old).steps) == 0


@pytest.mark.parametrize(
    "new",
    [nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 2), nn.Tanh()), nn.Linear(2, 2)],
)
def test_other_modules_are_no_resize(new):
    with pytest.raises(InputError, match="a resize keeps every module"):
        difference(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), new)


def test_new_parameters_are_no_resize():
    new = nn.Linear(2, 2)
    new.register_parameter("more", nn.Parameter(torch.ones(1)))
    with pytest.raises(InputError, match="'more' is new"):
        difference(nn.Linear(2, 2), new)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ({"head": {}}, "names the module 'head'"),
        ([], "no mapping"),
        ({"": {"attributes": {"forward": 3}}}, "no size that it keeps"),
        ({"": {"attributes": {"training": 0}}}, "no size that it keeps"),
        ({"": {"parameters": {"kernel": [1]}}}, "does not fit module ''"),
        ({"": {"parameters": {"weight": [-1]}}}, "is no shape"),
        ({"": {"parameters": {"weight": "2"}}}, "is no shape"),
    ],
)
def test_edited_settings_are_refused(modules, message):
    with pytest.raises(InputError, match=message):
        rebuild(nn.Linear(2, 2), {"modules": modules})
