"""One pass: everything at once, the network untouched, clear errors."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nervure.data.dataset import Batch
from nervure.errors import InputError, MissingExtra
from nervure.observe import (
    CrossGram,
    ExactQuantile,
    GradientTimesActivation,
    Gram,
    Histogram,
    MapRank,
    Moments,
    Norms,
    Quantile,
    Site,
    Votes,
    ZeroFraction,
    collect,
    summary,
)


class Counted(nn.Sequential):
    """Counts how often it is run."""

    runs = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.runs += 1
        return super().forward(x)


class Twice(nn.Module):
    """Calls one layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.idle = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.layer(x))


@pytest.fixture
def net() -> Counted:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Counted(
            nn.Conv2d(1, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Flatten(),
            nn.Linear(64, 3),
        )


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(12, 1, 6, 6, generator=torch.Generator().manual_seed(0))


def labelled(x: torch.Tensor, size: int = 5) -> list[Batch]:
    index = torch.arange(len(x))
    return [Batch(x[part], part % 3, part) for part in index.split(size)]


def objective(net: nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
    return F.cross_entropy(net(batch.x), batch.y), {}


def traces(net: nn.Module) -> list[object]:
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in net.modules()]
    flags = [(p.requires_grad, p.grad) for p in net.parameters()]
    return [[m.training for m in net.modules()], hooks, flags]


FORWARD = [
    Moments(),
    Norms(),
    ZeroFraction(),
    Histogram(),
    Quantile(0.8),
    Votes(0.3),
    Gram(),
    MapRank(),
    ExactQuantile(),
]


def test_one_run_serves_every_statistic_and_site(net: Counted, x: torch.Tensor) -> None:
    wanted = {"0": [*FORWARD, CrossGram(net[0])], "2": FORWARD, Site("5", "input"): [Moments()], "5": FORWARD}
    found = collect(net, x.split(5), wanted)
    assert net.runs == 3
    assert [len(found[site]) for site in found] == [10, 9, 1, 9]
    net.eval()
    with torch.no_grad():
        first, relu, last = net[0](x), net[:3](x), net(x)
        inside = net[:5](x)
    for site, value in (
        (Site("0"), first),
        (Site("2"), relu),
        (Site("5"), last),
        (Site("5", "input"), inside),
    ):
        moments = found[site][("moments",)].result()
        wide = value.double().transpose(0, 1).flatten(1)
        torch.testing.assert_close(moments.mean, wide.mean(1), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(moments.sd, wide.std(1, correction=0), rtol=1e-4, atol=1e-6)
        assert moments.examples == 12
    zeros = found[Site("2")][ZeroFraction().key].result()
    torch.testing.assert_close(zeros, (relu == 0).double().mean((0, 2, 3)))


def test_sharing_gives_what_each_alone_gives(net: Counted, x: torch.Tensor) -> None:
    together = collect(net, x.split(5), {"2": FORWARD})[Site("2")]
    for statistic in FORWARD:
        alone = collect(net, x.split(5), {"2": [statistic]})[Site("2")][statistic.key]
        for name, part in alone.state().items():
            assert torch.equal(part, together[statistic.key].state()[name]), (statistic.key, name)


def test_plain_and_compiled_agree(net: Counted, x: torch.Tensor) -> None:
    pytest.importorskip("numba")
    fast, slow = (collect(net, x.split(5), {"0": FORWARD}, compiled=form)[Site("0")] for form in (True, False))
    for key, statistic in fast.items():
        for name, part in statistic.state().items():
            other = slow[key].state()[name]
            if part.is_floating_point():
                torch.testing.assert_close(part, other, rtol=1e-12, atol=1e-10)
            else:
                assert torch.equal(part, other), (key, name)


def test_equal_keys_are_computed_once(net: Counted, x: torch.Tensor) -> None:
    calls = []

    class Watched(Gram):
        def update(self, *args: object, **settings: object) -> None:
            calls.append(1)
            super().update(*args, **settings)

    found = collect(net, [x], {"0": [Watched(), Watched()], Site("0"): [Watched()]})
    assert len(calls) == 1
    assert len(found[Site("0")]) == 1


def test_patterns_stay_unchanged_and_old_ones_go_on(net: Counted, x: torch.Tensor) -> None:
    pattern = Moments()
    first = collect(net, [x[:4]], {"0": [pattern]})[Site("0")][pattern.key]
    assert pattern.state() == {}
    second = collect(net, [x[4:]], {"0": [first]})[Site("0")][pattern.key]
    assert first.result().examples == 4
    assert second.result().examples == 12
    whole = collect(net, [x], {"0": [pattern]})[Site("0")][pattern.key]
    torch.testing.assert_close(second.result().variance, whole.result().variance, rtol=1e-6, atol=0)


def test_a_module_called_twice_counts_twice(x: torch.Tensor) -> None:
    net = Twice()
    data = x.flatten(1)[:, :3]
    moments = collect(net, [data], {"layer": [Moments()]})[Site("layer")][("moments",)].result()
    with torch.no_grad():
        once = net.layer(data)
        both = torch.cat([once, net.layer(once)])
    assert moments.examples == 24
    torch.testing.assert_close(moments.mean, both.double().mean(0), rtol=1e-5, atol=1e-6)
    taylor = GradientTimesActivation()

    def squared(net: nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        return net(batch.x).square().mean(), {}

    found = collect(net, labelled(data), {"layer": [taylor]}, objective=squared)
    assert int(found[Site("layer")][taylor.key].state()["examples"]) == 24


def test_tuples_of_recurrent_layers_and_time_first() -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(3, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lstm(x.permute(2, 0, 1))[0][-1]

    net = Reader()
    x = torch.randn(5, 3, 7)
    moments = collect(net, [x], {"lstm": [Moments()]})[Site("lstm")][("moments",)].result()
    assert (moments.examples, moments.count, len(moments.mean)) == (5, 35, 4)
    found = collect(net, labelled(x), {"lstm": [GradientTimesActivation()]}, objective=objective)
    assert len(found[Site("lstm")][("gradient-times-activation",)].result()) == 4


def test_attention_is_seen_although_a_fused_path_would_skip_it() -> None:
    net = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1)
    found = collect(net, [torch.randn(3, 5, 8)], {"layers.0.linear1": [Moments()], "layers.0.self_attn": [Moments()]})
    assert [len(place[("moments",)].result().mean) for place in found.values()] == [16, 8]
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize("name", ["body.layers.0.linear1", "body.layers.0.dropout", "body.layers.0"])
@pytest.mark.parametrize("steps", [3, 5])
def test_layers_of_a_transformer_lie_as_it_says(name: str, steps: int) -> None:
    """Also where a batch has as many examples as steps, and where a layer alone does not say where its units lie."""

    class Reader(nn.Module):
        def __init__(self, first: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, layer = first, nn.TransformerEncoderLayer(6, 2, 6, batch_first=first)
            self.body = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.body(x) if self.first else self.body(x.transpose(0, 1)).transpose(0, 1)

    x, votes = torch.randn(3, steps, 6), Votes()
    found = [collect(Reader(first), [x], {name: [votes]})[Site(name)][votes.key] for first in (False, True)]
    assert found[0].state()["votes"].tolist() == found[1].state()["votes"].tolist()


def test_the_unit_axis_can_be_given() -> None:
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU())
    x = torch.randn(3, 5, 4)
    rule = collect(net, [x], {"1": [Moments()]})[Site("1")][("moments",)].result()
    given = collect(net, [x], {"1": [Moments()]}, axes={"1": -1})[Site("1")][("moments",)].result()
    assert (len(rule.mean), len(given.mean)) == (5, 6)


class TestNetworkIsPutBack:
    def test_after_a_pass(self, net: Counted, x: torch.Tensor) -> None:
        net[1].eval()
        net[0].bias.requires_grad_(False)
        before, weights = traces(net), {k: v.clone() for k, v in net.state_dict().items()}
        collect(net, labelled(x), {"0": FORWARD, "2": [GradientTimesActivation()]}, objective=objective)
        assert traces(net) == before
        assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())

    @pytest.mark.parametrize("gradient", [False, True])
    def test_when_the_data_fail_half_way(self, net: Counted, x: torch.Tensor, gradient: bool) -> None:
        before = traces(net)

        def broken() -> Iterator[Batch]:
            yield labelled(x)[0]
            raise OSError("disk gone")

        wanted = {"2": [Moments(), *([GradientTimesActivation()] if gradient else [])]}
        with pytest.raises(OSError, match="disk gone"):
            collect(net, broken(), wanted, objective=objective)
        assert traces(net) == before

    def test_when_the_network_fails_half_way(self, net: Counted, x: torch.Tensor) -> None:
        before = traces(net)
        with pytest.raises(RuntimeError):
            collect(net, [x, x[:, :, :3]], {"0": FORWARD, Site("5"): [Moments()]})
        assert traces(net) == before

    def test_results_are_no_inference_tensors(self, net: Counted, x: torch.Tensor) -> None:
        with torch.inference_mode():
            found = collect(net, [x], {"0": FORWARD})[Site("0")]
        for statistic in found.values():
            assert not any(part.is_inference() for part in statistic.state().values())
            statistic.merge(statistic.continued(statistic.state()))


class TestErrors:
    def test_unknown_layer(self, net: Counted, x: torch.Tensor) -> None:
        with pytest.raises(InputError, match="unknown layer '55'; did you mean '5'\\? There are: 0, 1, 2"):
            collect(net, [x], {"55": [Moments()]})
        with pytest.raises(InputError, match="unknown side 'middle'"):
            collect(net, [x], {Site("0", "middle"): [Moments()]})

    def test_gradient_without_objective(self, net: Counted, x: torch.Tensor) -> None:
        with pytest.raises(InputError, match="gradients are wanted at 0; give an objective"):
            collect(net, labelled(x), {"0": [GradientTimesActivation()]})
        with pytest.raises(InputError, match="give an objective"):
            collect(net, labelled(x), {Site("0", "gradient"): [Moments()]})

    def test_gradient_without_labels(self, net: Counted, x: torch.Tensor) -> None:
        with pytest.raises(InputError, match="no labels"):
            collect(net, [x], {"0": [GradientTimesActivation()]}, objective=objective)

    def test_gradient_that_never_arrives(self, x: torch.Tensor) -> None:
        def constant(net: nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
            return net(batch.x).detach().sum(), {}

        with pytest.raises(InputError, match="no gradient reached layer 'layer'"):
            collect(
                Twice(),
                labelled(x.flatten(1)[:, :3]),
                {"layer": [GradientTimesActivation()]},
                objective=constant,
            )

    def test_a_loss_that_is_no_number(self, net: Counted, x: torch.Tensor) -> None:
        def bad(net: nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
            return net(batch.x).sum() * float("nan"), {}

        with pytest.raises(InputError, match="the objective gave"):
            collect(net, labelled(x), {"0": [GradientTimesActivation()]}, objective=bad)

    def test_gradient_statistics_on_the_wrong_side(self, net: Counted, x: torch.Tensor) -> None:
        with pytest.raises(InputError, match="belong to its output side"):
            collect(net, labelled(x), {Site("0", "input"): [GradientTimesActivation()]}, objective=objective)

    def test_layer_that_is_never_called(self, x: torch.Tensor) -> None:
        with pytest.raises(InputError, match="layer 'idle' was never called"):
            collect(Twice(), [x.flatten(1)[:, :3]], {"idle": [Moments()]})

    def test_no_batches(self, net: Counted) -> None:
        with pytest.raises(InputError, match="no batches"):
            collect(net, [], {"0": [Moments()]})

    def test_something_else_than_batches(self, net: Counted) -> None:
        with pytest.raises(InputError, match="a batch is a tuple"):
            collect(net, [(torch.ones(1), 3)], {"0": [Moments()]})

    @pytest.mark.parametrize("statistic", FORWARD, ids=lambda s: type(s).__name__)
    @pytest.mark.parametrize("compiled", [None, False])
    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_nan_and_infinity_name_the_layer(
        self, net: Counted, x: torch.Tensor, statistic: Moments, compiled: bool | None, bad: float
    ) -> None:
        x[7, 0, 2, 2] = bad
        with pytest.raises(InputError, match=r"layer '0' \(output\) gave NaN or infinite values within the first 10"):
            collect(net, x.split(5), {"0": [statistic]}, compiled=compiled)

    def test_insisting_on_kernels_without_numba(
        self, net: Counted, x: torch.Tensor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(summary, "_numba_installed", lambda: False)
        with pytest.raises(MissingExtra):
            collect(net, [x], {"0": [Moments()]}, compiled=True)


def test_progress_is_told(net: Counted, x: torch.Tensor) -> None:
    seen: list[int] = []
    collect(net, x.split(5), {"0": [Moments()]}, progress=seen.append)
    assert seen == [5, 10, 12]


def test_memory_does_not_grow_with_samples(net: Counted) -> None:
    sizes = []
    for batches in (2, 20):
        generator = torch.Generator().manual_seed(0)
        data = (torch.randn(5, 1, 6, 6, generator=generator) for _ in range(batches))
        streaming = [s for s in FORWARD if not isinstance(s, ExactQuantile)]
        found = collect(net, data, {"0": streaming})[Site("0")]
        sizes.append(sum(part.numel() for s in found.values() for part in s.state().values()))
    assert sizes[0] == sizes[1]
