"""Which layers are the hidden dense ones."""

from __future__ import annotations

import pytest
import torch

from nervure import nets
from nervure.errors import InputError
from nervure.nets.structure.surgery import trace
from nervure.prune.training.dense import dense_groups, others, spent_layers, widths_of


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("mlp", {"widths": (9, 8)}, ["classifier.0", "classifier.2"]),
        ("small-cnn", {"width": 0.125, "head": (9, 8)}, 2),
        ("resnet20", {}, 0),
        ("lenet5", {}, 2),
    ],
)
def test_hidden_dense_layers(name: str, settings: dict[str, object], expected: list[str] | int) -> None:
    net = nets.build(name, in_shape=(1, 28, 28), classes=3, **settings)
    graph = trace(net, torch.randn(2, 1, 28, 28))
    found = dense_groups(net, graph)
    names = [layer for group in found for layer in group.layers]
    assert names == expected if isinstance(expected, list) else len(names) == expected
    assert not set(names) & set(others(graph, found))
    assert {group.name for group in graph.free} == {group.name for group in found} | {
        group.name for group in graph.free if group.layers[0] in others(graph, found)
    }
    if name == "mlp":
        assert widths_of(net, names) == (9, 8)


def test_names_are_checked() -> None:
    net = nets.build("small-cnn", in_shape=(1, 8, 8), classes=3, width=0.125, head=(9, 8))
    graph = trace(net, torch.randn(2, 1, 8, 8))
    only = dense_groups(net, graph)[1].layers
    assert [group.layers for group in dense_groups(net, graph, only)] == [only]
    for wrong in ("nothing", others(graph, dense_groups(net, graph))[0]):
        with pytest.raises(InputError, match="no hidden dense layer"):
            dense_groups(net, graph, [wrong])


def test_layers_down_to_one_unit() -> None:
    net = nets.build("mlp", in_shape=(5,), classes=1, widths=(1, 4))
    graph = trace(net, torch.randn(2, 5))
    assert spent_layers(net, graph) == ("classifier.0",)
    assert [group.name for group in dense_groups(net, graph)] == ["classifier.2"]
    assert dense_groups(net, graph, ["classifier.0"]) == ()
    with pytest.raises(InputError, match=r"no hidden dense layer 'classifier\.4'"):
        dense_groups(net, graph, ["classifier.4"])
