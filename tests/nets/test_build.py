import random
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from nervure import nets
from nervure.errors import InputError
from nervure.nets.blueprint import Dense

MODULE = """
    import torch
    from torch import nn

    def thin(in_shape, classes, *, units=4):
        return nn.Sequential(nn.Flatten(), nn.Linear(in_shape[0], units), nn.Linear(units, classes))

    def lazy(in_shape, classes):
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))

    def wrong(in_shape, classes):
        return nn.Linear(in_shape[0], classes + 1)

    def pair(in_shape, classes):
        class Pair(nn.Linear):
            def forward(self, x):
                return super().forward(x), x
        return Pair(in_shape[0], classes)

    def breaks(in_shape, classes):
        raise KeyError("colour")

    def text(in_shape, classes):
        return "net"

    def draws(in_shape, classes):
        import random, numpy
        random.random(), numpy.random.rand(), torch.rand(1)
        return nn.Linear(in_shape[0], classes)

    number = 3

    class Own(nn.Linear):
        def __init__(self):
            super().__init__(5, 3)

    own = Own()
"""


@pytest.fixture
def user(tmp_path, monkeypatch):
    (tmp_path / "nets_of_a_user.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.syspath_prepend(tmp_path)
    return "nets_of_a_user"


def test_takes_shape_and_classes_from_the_data():
    ds = SimpleNamespace(in_shape=(1, 8, 8), classes=10, source="digits")
    net = nets.build("lenet5", ds)
    assert net(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    assert nets.build("lenet5", ds, classes=3)(torch.zeros(2, 1, 8, 8)).shape == (2, 3)
    assert nets.origin_of(net) == nets.Origin(nets.Base("name", "lenet5", (1, 8, 8), 10, {}))
    with pytest.raises(InputError, match="samples of digits are"):
        nets.build("lenet5", ds, in_shape=(3, 8, 8))


def test_a_users_function(user):
    net = nets.build(f"{user}:thin", in_shape=(5,), classes=3, units=7)
    origin = nets.Origin.from_json(nets.origin_of(net).to_json())
    assert origin.base.kind == "function"
    assert origin.base.settings == {"units": 7}
    with pytest.raises(InputError, match=rf"such as build='{user}:thin'"):
        nets.rebuild(origin)
    again = nets.rebuild(origin, build=f"{user}:thin")
    again.load_state_dict(net.state_dict())

    import nets_of_a_user

    assert nets.rebuild(origin, build=nets_of_a_user.thin)[1].out_features == 7
    given = nets.build(nets_of_a_user.thin, in_shape=(5,), classes=3)
    assert nets.origin_of(given).base.spec == f"{user}:thin"
    assert nets.build(f"{user}:lazy", in_shape=(2, 3), classes=4)[1].in_features == 6


def test_rebuilding_imports_nothing_that_the_origin_names(tmp_path, monkeypatch):
    (tmp_path / "evil_net.py").write_text("raise SystemExit('was run')")
    monkeypatch.syspath_prepend(tmp_path)
    origin = nets.Origin(nets.Base("function", "evil_net:f", (4,), 2, {}))
    with pytest.raises(InputError, match="not run unasked"):
        nets.rebuild(origin)
    named = nets.Origin(nets.Base("name", "evil_net:f", (4,), 2, {}))
    with pytest.raises(InputError, match="unknown network 'evil_net:f'"):
        nets.rebuild(named)


def test_a_name_in_an_origin_is_no_path(tmp_path):
    path = nets.Blueprint(layers=(Dense(),)).save(tmp_path / "shape.json")
    with pytest.raises(InputError, match="unknown network"):
        nets.rebuild(nets.Origin(nets.Base("name", str(path), (4,), 2, {})))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("kind", "command", "unknown kind of base"),
        ("spec", {}, "a name cannot be dict"),
        ("in_shape", ["touch", "here"], "no network is for samples of shape"),
        ("in_shape", [], "no network is for samples"),
        ("in_shape", 4, "not an origin"),
        ("classes", -1, "and -1 outputs"),
        ("classes", True, "and True outputs"),
        ("settings", 3, "not an origin"),
        ("more", 3, "not an origin"),
    ],
)
def test_an_edited_origin_is_refused(field, value, message):
    net = nets.build("mlp", in_shape=(4,), classes=2)
    data = nets.origin_of(net).to_json()
    data["base"][field] = value
    with pytest.raises(InputError, match=message):
        nets.Origin.from_json(data)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("wrong", r"gives \(2, 4\) for two samples; this data needs \(2, 3\)"),
        ("pair", "forward must return one tensor"),
        ("breaks", "KeyError while building"),
        ("text", "gave a str, not a torch.nn.Module"),
        ("number", "is no function"),
        ("nothing", "cannot be imported"),
        ("", "cannot be imported"),
        (
            "Own",
            r"TypeError while building .*; give package.module:function, a function called as f\(in_shape, classes\)",
        ),
        ("own", r"own is a network already; give package.module:function"),
    ],
)
def test_a_users_function_that_does_not_serve(user, function, message):
    with pytest.raises(InputError, match=message) as caught:
        nets.build(f"{user}:{function}", in_shape=(5,), classes=3)
    assert "\n" not in str(caught.value)


def test_leaves_the_generators_alone(user):
    torch.manual_seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    one = nets.build(f"{user}:draws", in_shape=(5,), classes=3, seed=4)
    two = nets.build("mlp", in_shape=(5,), classes=3, dropout=0.5)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert random.getstate() == before[2]
    torch.rand(3)
    assert torch.equal(one.weight, nets.build(f"{user}:draws", in_shape=(5,), classes=3, seed=4).weight)
    assert two.training


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spec": "lenet"}, "unknown network 'lenet'; did you mean"),
        ({"spec": "vgg16"}, "vgg16 needs images of at least 16x16; these are 8x8"),
        ({"spec": "series-cnn"}, "reads series"),
        ({"spec": "mlp", "widhts": [3]}, "mlp has no setting 'widhts'; did you mean 'widths'"),
        ({"spec": "vgg16", "depth": 13}, "vgg16 has no setting 'depth'"),
        ({"spec": "mlp", "widths": [3, 0]}, "whole numbers of 1 or more"),
        ({"spec": "mlp", "widths": 3.5}, "whole numbers of 1 or more"),
        ({"spec": "mlp", "widths": {1, 2}}, "is not JSON data"),
        ({"spec": "mlp", "dropout": float("nan")}, "is not JSON data"),
        ({"spec": "mlp", "dropout": 1.5}, "rate: Input should be less than 1"),
        ({"spec": "mlp", "activation": "relux"}, "activation='relux'; choose one of: 'relu'"),
        ({"spec": "lenet5", "classes": 0}, "the data has no labels; give classes="),
        ({"spec": "lenet5", "classes": -1}, "classes=-1"),
        ({"spec": "lenet5", "in_shape": ("1", 8, 8)}, "give one sample's shape"),
        ({"spec": "lenet5", "in_shape": (1, 0, 8)}, "give one sample's shape"),
        ({"spec": "lenet5", "in_shape": ()}, r"in_shape=\(\)"),
        ({"spec": "lenet5", "in_shape": None}, "give a data set, or in_shape="),
        ({"spec": "resnet20", "stem": "medium"}, "stem='medium'"),
        ({"spec": "resnet20", "width": -1}, "positive multiplier"),
        ({"spec": "conv-autoencoder", "units": [3], "kernels": [3, 3]}, "give as many of each"),
        ({"spec": "no.such.module:f"}, "cannot be imported"),
        ({"spec": "mine.py"}, "a module is named without .py; write mine:FUNCTION"),
        ({"spec": "nets/mine.py:small"}, "write mine:small"),
        ({"spec": "nothing.json"}, "no blueprint can be read there"),
        ({"spec": 3}, "names no network"),
        ({"spec": "lenet5", "weights": "nothing.safetensors"}, "no such file"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        nets.build(**{"in_shape": (1, 8, 8), "classes": 10, **arguments})
    assert "\n" not in str(caught.value)


def test_build_is_refused_where_the_base_is_ours():
    net = nets.build("mlp", in_shape=(4,), classes=2)
    with pytest.raises(InputError, match="is not needed"):
        nets.rebuild(nets.origin_of(net), build="some:thing")


def test_a_network_that_cannot_run_says_where():
    def narrow(in_shape, classes):
        return nn.Sequential(nn.Conv2d(1, 2, 5), nn.Flatten(), nn.Linear(2, classes))

    with pytest.raises(InputError, match=r"does not fit samples of shape \(1, 3, 3\)"):
        nets.build(narrow, in_shape=(1, 3, 3), classes=2)
