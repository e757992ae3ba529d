from __future__ import annotations

import copy
import dataclasses
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from clusterers import clusterer
from nervure import nets, sparsify, store
from nervure.data import Dataset, from_arrays
from nervure.errors import InputError
from nervure.sparsify.criteria import criteria, names
from nervure.sparsify.criteria.isparse import ISparse
from nervure.sparsify.criteria.trained import Trained
from nervure.sparsify.decide import Rules, decide, lost_units
from nervure.sparsify.layers import checked, prunable

SCORING = [name for name in names() if not issubclass(criteria.get(name), Trained)]


@st.composite
def networks(draw: st.DrawFn) -> nn.Module:
    """Small networks with ties and zeros among their weights."""
    channels, units, outputs = (draw(st.integers(1, 5)) for _ in range(3))
    groups = draw(st.sampled_from([1, channels]))
    torch.manual_seed(draw(st.integers(0, 2**31)))
    net = nn.Sequential(
        nn.Conv2d(1, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, 2, groups=groups),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, units), nn.Tanh(), nn.Linear(units, outputs + 1),
    )  # fmt: skip
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(4).round_().div_(4)
    return net


PICTURES = from_arrays(
    np.random.default_rng(0).random((12, 1, 4, 4), np.float32), np.arange(12) % 2, validation=0, test=0, kind="image"
)


@settings(max_examples=12)
@given(networks(), st.sampled_from([0.0, 0.05, 0.3, 0.5, 0.95, 1.0]), st.sampled_from(["layer", "global"]))
def test_exactly_the_asked_number_stays(net: nn.Module, share: float, ranking: str) -> None:
    for name in SCORING:
        options: dict[str, Any] = {} if name != "snip" else {"objective": lambda net, batch: (net(batch.x).mean(), {})}
        mask = sparsify.plan(net, PICTURES, name, share, ranking=ranking, allow_empty=True, **options)
        counts = [(row.edges, row.kept) for row in mask.rows]
        if ranking == "global":
            counts = [(sum(edges for edges, _ in counts), sum(kept for _, kept in counts))]
        assert all(kept == edges - round(share * edges) for edges, kept in counts)
        assert all(int(bits.sum()) == row.kept for bits, row in zip(mask.masks.values(), mask.rows, strict=True))


@pytest.fixture
def net(ds: Dataset) -> nn.Module:
    return nets.build("lenet5", ds, seed=0).eval()


@pytest.mark.parametrize("criterion", SCORING)
def test_the_network_is_left_alone_and_the_plan_repeats(criterion: str, net: nn.Module, ds: Dataset) -> None:
    net.train()
    before = copy.deepcopy(net.state_dict())
    one = sparsify.plan(net, ds, criterion, 0.6, samples=50)
    assert sparsify.plan(net, ds, criterion, 0.6, samples=50) == one
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net.training and all(parameter.requires_grad for parameter in net.parameters())
    assert one.about.samples == (50 if criterion in ("isparse", "snip", "wanda") else 0)


def test_no_edge_goes_at_zero(net: nn.Module, ds: Dataset) -> None:
    x = ds.batch(range(8)).x
    assert torch.equal(sparsify.plan(net, ds, "isparse", 0.0).apply(net)(x), net(x))


def test_labels_do_not_matter_unless_asked_for(net: nn.Module, ds: Dataset) -> None:
    blind = dataclasses.replace(ds, y=None, task="none", names=())
    for criterion, options in (("isparse", {"softmax": True}), ("wanda", {}), ("magnitude", {}), ("random", {})):
        one, two = (sparsify.plan(net, each, criterion, 0.5, **options) for each in (ds, blind))
        assert one.compare(two).whole == 1


class TestOrders:
    def test_the_last_layer_is_the_same_and_the_first_is_not(self, net: nn.Module, ds: Dataset) -> None:
        one, two = (sparsify.plan(net, ds, "isparse", 0.8, order=o) for o in ("input-to-output", "output-to-input"))
        found = one.compare(two).layers
        assert found["classifier.4"] == 1
        assert found["classifier.0"] < 1

    def test_it_is_the_recursion_with_masked_weights(self, worked: nn.Sequential) -> None:
        # With M_2 = [[0, 1], [1, 0]] and N_2 = (1, 1), (|W_2| M_2)^T N_2 = (2, 1); of the dense network (2.5, 1.1).
        # So its second largest score is 1 * 2.1, where in the dense one it would be 2.5 * 1.
        with torch.no_grad():
            worked[0].weight.copy_(torch.tensor([[3.0, 1.0], [2.1, 0.1]]))
        mask = sparsify.plan(
            worked, None, "isparse", 0.5, order="output-to-input", initial="identity",
            example=torch.zeros(1, 2, dtype=torch.float64),
        )  # fmt: skip
        assert mask.masks["1"].tolist() == [[False, True], [True, False]]
        assert mask.masks["0"].tolist() == [[True, False], [True, False]]

    def test_it_follows_the_calls_and_not_the_declaration(self) -> None:
        torch.manual_seed(0)
        one, two = nn.Linear(4, 6), nn.Linear(6, 3)

        class Backwards(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.two, self.one = two, one

            def forward(self, x: Tensor) -> Tensor:
                return self.two(torch.relu(self.one(x)))

        def plan(net: nn.Module, order: str) -> list[Tensor]:
            mask = sparsify.plan(net, None, "isparse", 0.6, order=order, initial="identity", example=torch.zeros(1, 4))
            return sorted(mask.masks.values(), key=lambda bits: bits.shape)

        wanted, dense = (plan(nn.Sequential(one, nn.ReLU(), two), o) for o in ("output-to-input", "input-to-output"))
        found = plan(Backwards(), "output-to-input")
        assert all(torch.equal(*bits) for bits in zip(found, wanted, strict=True))
        assert not torch.equal(found[1], dense[1])

    def test_outputs_are_looked_at_in_the_dense_network(self, net: nn.Module, ds: Dataset) -> None:
        layers, batch = checked(prunable(net)), ds.batch(range(40))
        asked = {layer.name: 0.8 for layer in layers}
        one, two = (
            decide(net, [batch], ISparse(), layers, asked, Rules(order=order), example=batch.x[:1])[1]
            for order in ("input-to-output", "output-to-input")
        )
        for name, judged in one.items():
            assert torch.equal(two[name].notes["final"][0], judged.notes["final"][0])

    def test_random_orders_follow_their_seed(self, net: nn.Module, ds: Dataset) -> None:
        found = [
            sparsify.plan(net, ds, "isparse", 0.8, order="random", seed=seed, samples=None) for seed in (1, 1, 2, 3, 4)
        ]
        assert found[0] == found[1]
        assert min(found[0].compare(one).whole for one in found[2:]) < 1

    @pytest.mark.parametrize("criterion", ["magnitude", "random"])
    def test_they_do_not_matter_where_weights_alone_count(self, criterion: str, net: nn.Module) -> None:
        one, two = (sparsify.plan(net, None, criterion, 0.5, order=o) for o in ("input-to-output", "output-to-input"))
        assert one.compare(two).whole == 1


class TestRanking:
    def test_global_magnitude_is_that_of_torch(self, net: nn.Module) -> None:
        from torch.nn.utils import prune

        mask = sparsify.plan(net, None, "magnitude", 0.7, ranking="global")
        twin = copy.deepcopy(net)
        prune.global_unstructured(
            [(twin.get_submodule(row.layer), "weight") for row in mask.rows],
            pruning_method=prune.L1Unstructured, amount=0.7,
        )  # fmt: skip
        for name, bits in mask.masks.items():
            # Scores that are equal at five digits are decided by index here.
            assert (twin.get_submodule(name).weight_mask.bool() == bits).float().mean() > 0.999

    def test_scores_on_scales_of_their_own_are_ranked_over_their_means(self, ds: Dataset) -> None:
        net = nets.build("mlp", ds, widths=(32,), seed=0)
        with torch.no_grad():
            net.classifier[0].weight.mul_(5)
        ranked = {
            name: sparsify.plan(net, ds, name, 0.5, ranking="global", allow_empty=True)
            for name in ("isparse", "magnitude")
        }
        assert ranked["magnitude"].rows[0].sparsity < 0.45 < ranked["isparse"].rows[0].sparsity < 0.55
        assert ranked["isparse"].rows[0].asked is None

    def test_a_layer_that_it_would_empty_is_named(self, ds: Dataset) -> None:
        net = nets.build("mlp", ds, widths=(32,), seed=0)
        with torch.no_grad():
            net.classifier[2].weight.mul_(1e-4)
        with pytest.raises(InputError, match=r"'classifier.2' would lose all of its 320 edges; .*allow_empty=True"):
            sparsify.plan(net, None, "magnitude", 0.5, ranking="global")
        mask = sparsify.plan(net, None, "magnitude", 0.5, ranking="global", allow_empty=True)
        assert mask.rows[1].kept == 0
        assert mask.about.notes["lost_units"]["classifier.2"] == 10


def test_a_pattern_leaves_layers_whole_that_cannot_take_it(net: nn.Module, ds: Dataset) -> None:
    mask = sparsify.plan(net, ds, "isparse", pattern=(2, 4))
    shares = {row.layer: row.sparsity for row in mask.rows}
    assert shares == {"features.0": 0, "features.3": 0, "classifier.0": 0.5, "classifier.2": 0.5, "classifier.4": 0.5}
    assert (mask.masks["classifier.2"].view(-1, 4).sum(1) == 2).all()
    assert mask.about.pattern == (2, 4)


def test_a_masked_network_is_judged_by_the_weights_that_it_uses(net: nn.Module) -> None:
    first = sparsify.plan(net, None, "random", 0.5)
    again = sparsify.plan(first.apply(net), None, "magnitude", 0.5)
    assert first.compare(again).whole == 1

    less = sparsify.plan(first.apply(net), None, "magnitude", 0.25)
    both = less.apply(first.apply(net))
    used, stays = sparsify.bake(both), sparsify.bake(first.apply(net))
    for layer, mask in less.masks.items():
        assert torch.equal(used.get_submodule(layer).weight, stays.get_submodule(layer).weight * mask)
    assert all(torch.equal(one, two) for one, two in zip(used.parameters(), less.bake(stays).parameters(), strict=True))
    assert all(torch.equal(one, two) for one, two in zip(less.remove(both).parameters(), net.parameters(), strict=True))


def test_settings_are_kept(net: nn.Module, ds: Dataset) -> None:
    mask = sparsify.plan(net, ds, "isparse", {"classifier.0": 0.25}, initial="pca", exclude=["features"], samples=30)
    about = mask.about
    assert about.settings["initial"] == "pca"
    assert about.sparsity == {"classifier.0": 0.25}
    assert [(row.layer, row.asked) for row in mask.rows] == [
        ("classifier.0", 0.25), ("classifier.2", 0.0), ("classifier.4", 0.0),
    ]  # fmt: skip


def test_a_regression_is_looked_at_without_softmax() -> None:
    x = np.random.default_rng(0).random((40, 3), np.float32)
    ds = from_arrays(x, x @ np.ones((3, 4), np.float32), task="regression")
    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 4))
    assert sparsify.plan(net, ds, "isparse").about.settings["softmax"] is False
    assert sparsify.plan(net, ds, "snip").sparsity == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        (("l1",), {}, "criterion 'l1' trains the network; run it with sparsify.train_with"),
        (("isparse", 1.5), {}, "sparsity = 1.5"),
        (("isparse", 1.0), {}, "'features.0' would lose all of its 150 edges"),
        (("isparse", 0.5), {"order": "sideways"}, "order = 'sideways'"),
        (("isparse", 0.5), {"exclude": ["feature"]}, "unknown layer 'feature'; did you mean 'features'"),
        (("isparse", 0.5), {"samples": 0}, "samples = 0"),
        (("isparse", 0.5), {"batch": 0}, "batch = 0"),
        (("nosuch", 0.5), {}, "unknown edge criterion 'nosuch'"),
        (("isparse", 0.5), {"pattern": (4, 2)}, "pattern"),
        (("magnitude", 0.5), {"alpha": 1}, "has no setting 'alpha'"),
    ],
)
def test_bad_input_is_said_in_one_line(
    arguments: tuple[Any, ...], options: dict[str, Any], said: str, net: nn.Module, ds: Dataset
) -> None:
    with pytest.raises(InputError, match=said) as error:
        sparsify.plan(net, ds, *arguments, **options)
    assert "\n" not in str(error.value)


def test_data_that_the_network_cannot_read(net: nn.Module, ds: Dataset) -> None:
    flat = from_arrays(np.zeros((10, 64), np.float32), np.arange(10) % 2)
    with pytest.raises(InputError, match=r"built for samples of shape \(1, 8, 8\), and these are \(64,\)"):
        sparsify.plan(net, flat, "isparse")
    with pytest.raises(InputError, match="give data"):
        sparsify.plan(net, None, "isparse")
    with pytest.raises(InputError, match="does not say what it reads"):
        sparsify.plan(nn.Linear(2, 2), None, "isparse", initial="identity")


def test_an_order_of_calls_wants_data_that_the_network_can_read() -> None:
    ds = from_arrays(np.zeros((10, 6), np.float32), np.arange(10) % 2)
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    with pytest.raises(InputError, match=r"Sequential cannot read samples of shape \(6,\)"):
        sparsify.plan(net, ds, "magnitude", order="output-to-input")
    assert sparsify.plan(net, ds, "magnitude", order="random").sparsity == 0.5  # needs no sample


def test_nan_weights_are_named(net: nn.Module, ds: Dataset) -> None:
    with torch.no_grad():
        net.classifier[2].weight[0, 0] = float("nan")
    with pytest.raises(InputError, match=r"layer 'classifier.2' has weights that are NaN"):
        sparsify.plan(net, ds, "magnitude")


def test_units_without_any_edge_are_counted() -> None:
    assert lost_units({"a": torch.zeros(2, 1, 2, 2) > 0, "b": torch.ones(1, 1) > 0}) == {"a": 2}


def test_the_place_of_judging_is_the_callers(net: nn.Module, ds: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(
        sys.modules["nervure.sparsify.plan"], "pick_device", lambda name: asked.append(name) or torch.device("cpu")
    )
    sparsify.plan(net, ds, "magnitude", device="cuda:1")
    sparsify.plan(net, ds, "magnitude")
    assert asked == ["cuda:1", "auto"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_mask(net: nn.Module, ds: Dataset) -> None:
    for criterion in ("isparse", "magnitude", "random", "wanda", "snip"):
        one = sparsify.plan(net, ds, criterion, 0.5, device="cpu")
        two = sparsify.plan(net, ds, criterion, 0.5, device="cuda")
        assert not net.classifier[0].weight.is_cuda
        assert one.compare(two).whole > 0.999
        assert two.apply(copy.deepcopy(net).cuda())(ds.batch(range(2)).x.cuda()).is_cuda


def test_a_masked_run_is_saved_and_loaded(net: nn.Module, ds: Dataset, tmp_path: Any) -> None:
    mask = sparsify.plan(net, ds, "isparse", 0.5)
    thin = mask.apply(net)
    store.save(tmp_path / "thin", thin)
    again = store.load(tmp_path / "thin").net
    x = ds.batch(range(4)).x
    assert torch.equal(again(x), thin(x))
    assert sparsify.Mask.of(again).compare(mask).whole == 1


@pytest.mark.parametrize("criterion", ["isparse", "wanda"])
def test_what_cannot_be_judged_keeps_its_weights_and_is_named(criterion: str) -> None:
    net = clusterer("mixture")
    ds = from_arrays(np.random.default_rng(0).random((30, 4), np.float32), np.arange(30) % 3)
    mask = sparsify.plan(net, ds, criterion, 0.5)
    assert [row.layer for row in mask.rows] == [name for name in mask.masks if name.startswith("encoder")]
    assert mask.about.notes["not_judged"] == [name for name in prunable(net) if name.startswith("decoder")]
    turned = nn.Sequential(nn.Conv2d(1, 2, 2), nn.ConvTranspose2d(2, 3, 2), nn.BatchNorm2d(3))
    assert sparsify.plan(turned, None, "magnitude", 0.5).about.notes["not_judged"] == ["1"]
