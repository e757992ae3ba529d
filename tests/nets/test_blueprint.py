import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nervure import nets
from nervure.errors import InputError
from nervure.nets import blueprint as bp

convs = st.builds(
    bp.Conv,
    units=st.integers(1, 6),
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.integers(1, 2),
    norm=st.sampled_from(["batch", None]),
    activation=st.sampled_from(["relu", "tanh", None]),
    order=st.sampled_from(["conv-bn-relu", "conv-relu-bn"]),
    bias=st.sampled_from([True, False, None]),
)
pools = st.builds(bp.Pool, kind=st.sampled_from(["max", "average"]), kernel=st.integers(1, 3))
denses = st.builds(bp.Dense, units=st.integers(1, 6), activation=st.sampled_from(["relu", None]))


@st.composite
def blueprints(draw):
    maps = draw(st.lists(convs | pools, max_size=4))
    ends = draw(st.sampled_from([[], [bp.Flatten()], [bp.GlobalPool()]]))
    return bp.Blueprint(layers=(*maps, *ends, *draw(st.lists(denses, max_size=2)), bp.Dense()))


@settings(deadline=None, max_examples=40)
@given(blueprints(), st.sampled_from([(2, 9, 7), (1, 4, 4), (3, 11), (2, 5, 6, 4)]))
def test_every_blueprint_builds_on_images_series_and_volumes(blueprint, in_shape):
    assert bp.Blueprint.from_json(json.loads(json.dumps(blueprint.to_json()))) == blueprint
    net = nets.build(blueprint, in_shape=in_shape, classes=3)
    assert net(torch.zeros(2, *in_shape)).shape == (2, 3)
    again = nets.rebuild(nets.Origin.from_json(nets.origin_of(net).to_json()))
    assert list(again.state_dict()) == list(net.state_dict())


def test_file_round_trip_and_build_from_path(tmp_path):
    blueprint = bp.Blueprint(note="by hand", layers=(bp.Conv(units=2, kernel=(3, 1)), bp.Dense()))
    path = blueprint.save(tmp_path / "b.json")
    assert bp.Blueprint.load(path) == blueprint
    assert [p.name for p in tmp_path.iterdir()] == ["b.json"]
    for spec in (path, str(path)):
        net = nets.build(spec, in_shape=(1, 6, 6), classes=2)
        assert net.features[0].kernel_size == (3, 1)
        assert nets.origin_of(net).base.kind == "blueprint"


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "the last layer must be dense"),
        ([{"type": "conv", "units": 3}], "the last layer must be dense"),
        (
            [{"type": "conv", "units": 0}, {"type": "dense"}],
            "layers.0.conv.units: .* greater than or equal to 1",
        ),
        ([{"type": "conv", "units": "3"}, {"type": "dense"}], "layers.0.conv.units: .* valid integer"),
        ([{"type": "conv", "unit": 3}, {"type": "dense"}], "layers.0.conv"),
        ([{"type": "cone"}, {"type": "dense"}], "'cone'"),
        ([{"type": "dense"}, {"type": "dense"}], r"layer 0 \(dense\) has no units"),
        ([{"type": "flatten"}, {"type": "pool"}, {"type": "dense"}], r"layer 1 \(pool\) comes after"),
        ([{"type": "dropout", "rate": 1.0}, {"type": "dense"}], "less than 1"),
    ],
)
def test_bad_data_is_one_readable_line(tmp_path, layers, message):
    (tmp_path / "b.json").write_text(json.dumps({"layers": layers}))
    with pytest.raises(InputError, match=message) as caught:
        bp.Blueprint.load(tmp_path / "b.json")
    assert "b.json" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"version": 2, "layers": [{"type": "dense"}]}'])
def test_what_is_no_blueprint_is_refused(tmp_path, text):
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(InputError, match=r"b.json: blueprint"):
        bp.Blueprint.load(tmp_path / "b.json")


def test_building_in_python_raises_the_same_error_and_values_are_frozen():
    with pytest.raises(InputError, match="units"):
        bp.Conv(units=0)
    with pytest.raises(Exception, match="frozen"):
        bp.Conv(units=1).units = 2
    with pytest.raises(InputError, match="takes no settings"):
        nets.build(bp.Blueprint(layers=(bp.Dense(),)), in_shape=(4,), classes=2, width=3)


def test_unwritable_place(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        bp.Blueprint(layers=(bp.Dense(),)).save(tmp_path / "none" / "b.json")
