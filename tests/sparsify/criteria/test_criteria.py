"""What holds for every criterion of the table, and the rules of the simple ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nervure import objectives, sparsify
from nervure.data import Batch, Dataset
from nervure.errors import InputError
from nervure.judge import Criterion, Layer, judge, settings_of
from nervure.nets import build
from nervure.sparsify.criteria import criteria, make, names
from nervure.sparsify.criteria.edges import by_input, magnitude
from nervure.sparsify.criteria.snip import weight_gradients
from nervure.sparsify.criteria.trained import Trained

SCORING = [name for name in names() if not issubclass(criteria.get(name), Trained)]


@pytest.mark.parametrize("name", names())
def test_every_row_is_a_criterion_that_knows_its_name(name: str) -> None:
    made = make(name, seed=3)
    assert isinstance(made, Criterion)
    assert criteria.name_of(made) == name
    assert all(isinstance(value, bool | int | float | str | None) for value in settings_of(made).values())


@pytest.mark.parametrize("name", SCORING)
def test_scores_have_the_weights_shape(name: str, ds: Dataset) -> None:
    net = build("lenet5", ds, seed=0)
    loss = objectives.make("cross-entropy")
    found = judge(net, [ds.batch(range(20))], {"": make(name)}, objective=loss)[""]
    for layer, one in found.items():
        assert one.scores.shape == net.get_submodule(layer).weight.shape
        assert bool((one.scores >= 0).all())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in net.parameters())


def test_random_follows_seed_and_layer() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    one, again, other = (sparsify.plan(net, None, "random", seed=seed) for seed in (1, 1, 2))
    assert one == again and one.compare(other).whole < 1
    assert not torch.equal(one.masks["0"], one.masks["1"])
    assert torch.equal(sparsify.plan(net, None, "random", layers=["1"], seed=1).masks["1"], one.masks["1"])


def test_snip_is_the_weight_times_its_gradient(ds: Dataset) -> None:
    net = build("mlp", ds, widths=(6,), seed=0)
    batches = [ds.batch(range(5)), ds.batch(range(5, 12))]
    objective = objectives.make("cross-entropy")
    found = weight_gradients(net, batches, ["classifier.0"], objective)["classifier.0"]
    whole = ds.batch(range(12))
    F.cross_entropy(net.eval()(whole.x), whole.y).backward()
    assert torch.allclose(found, net.classifier[0].weight.grad, atol=1e-6)
    scores = judge(net, batches, {"": make("snip")}, objective=objective)[""]["classifier.0"].scores
    assert torch.allclose(scores, (net.classifier[0].weight * net.classifier[0].weight.grad).abs(), atol=1e-6)


def test_snip_says_what_it_lacks(ds: Dataset) -> None:
    with pytest.raises(InputError, match="give an objective"):
        judge(nn.Linear(1, 1), [], {"": make("snip")})
    with pytest.raises(InputError, match="the loss on training samples is nan"):
        weight_gradients(
            nn.Linear(1, 1), [Batch(torch.ones(1, 1), None, torch.arange(1))], [""],
            lambda net, batch: (net(batch.x).sum() * float("nan"), {}),
        )  # fmt: skip


@pytest.mark.parametrize("groups", [1, 2])
def test_wanda_is_the_weight_times_the_norm_of_its_input(groups: int) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 6, 3, groups=groups)
    net = nn.Sequential(conv, nn.Flatten(), nn.Linear(6, 2))
    x = torch.randn(7, 4, 3, 3)
    found = judge(net, [Batch(x, None, torch.arange(7))], {"": make("wanda")})[""]
    norms = x.square().sum((0, 2, 3)).sqrt()
    share, width = 6 // groups, 4 // groups
    for o in range(6):
        for c in range(width):
            wanted = conv.weight[o, c].abs() * norms[o // share * width + c]
            assert torch.allclose(found["0"].scores[o, c], wanted, rtol=1e-5)
    inner = conv(x).flatten(1)
    wanted = net[2].weight.abs() * inner.square().sum(0).sqrt()
    assert torch.allclose(found["2"].scores, wanted, rtol=1e-5)


def test_magnitudes_of_half_precision_are_compared_in_single() -> None:
    layer = nn.Linear(2, 2).half()
    assert magnitude(Layer("a", layer, 2), dict(layer.named_parameters())).dtype == torch.float32
    with pytest.raises(InputError, match="layer 'a' holds no weight"):
        magnitude(Layer("a", layer, 2), {})


def test_by_input_follows_the_groups() -> None:
    found = by_input(torch.arange(6.0), torch.ones(4, 3, 2, 2), groups=2)
    assert found.shape == (4, 3, 1, 1)
    assert np.array_equal(found.flatten(1).numpy(), [[0, 1, 2], [0, 1, 2], [3, 4, 5], [3, 4, 5]])


def test_what_is_no_criterion_or_setting_is_refused() -> None:
    with pytest.raises(InputError, match="unknown edge criterion 'isparce'; did you mean 'isparse'"):
        make("isparce")
    with pytest.raises(InputError, match="has no setting 'inital'; did you mean 'initial'"):
        make("isparse", settings={"inital": "pca"})
    with pytest.raises(InputError, match="no criterion"):
        make(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="cannot be set on a criterion that is made already"):
        make(make("isparse"), settings={"alpha": 0.1})


@pytest.mark.parametrize(
    ("name", "settings"), [("l1", {"strength": -1.0}), ("l1", {"threshold": -1.0}), ("lottery", {"rounds": 0})]
)
def test_settings_of_methods_that_train(name: str, settings: dict[str, object]) -> None:
    with pytest.raises(InputError, match=f"{name}: "):
        make(name, settings=settings)
