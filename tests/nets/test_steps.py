import copy

import pytest
from torch import nn

from nervure import nets
from nervure.errors import InputError
from nervure.nets import steps


def test_deepcopy_keeps_the_origin_and_derive_extends_it():
    net = nets.build("mlp", in_shape=(4,), classes=2)
    copied = copy.deepcopy(net)
    assert nets.origin_of(copied) == nets.origin_of(net)
    longer = nets.derive(net, copied, nets.Step("resize", {"modules": {}}))
    assert [step.kind for step in nets.origin_of(longer).steps] == ["resize"]
    assert nets.origin_of(net).steps == ()


def test_a_stranger_stays_without_origin():
    net = nn.Linear(2, 2)
    assert nets.origin_of(nets.derive(net, net, nets.Step("resize", {"modules": {}}))) is None


def test_unknown_and_unfit_steps_are_refused():
    net = nets.build("mlp", in_shape=(4,), classes=2)
    with pytest.raises(InputError, match="did you mean 'resize'"):
        nets.derive(net, net, nets.Step("resise", {}))
    with pytest.raises(InputError, match="does not fit this network"):
        steps.replay(net, (nets.Step("resize", {}),))


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"base": {}, "steps": []},
        {"base": {"kind": "pickle", "spec": "x", "in_shape": [1], "classes": 1, "settings": {}}, "steps": []},
        {"base": None, "steps": []},
    ],
)
def test_what_is_no_origin_is_refused(data):
    with pytest.raises(InputError, match="not an origin"):
        nets.Origin.from_json(data)
