from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from clusterers import clusterer
from nervure import nets
from nervure.cluster import heads as cluster_heads
from nervure.errors import InputError
from nervure.nets.resnet import BasicBlock, ResNet
from nervure.observe.absolute import backed_scores


def linearised(net: nn.Module) -> nn.Module:
    """The absolute network spelled out, for chains of known layers."""
    parts: list[nn.Module] = []
    for module in copy.deepcopy(net).to(torch.float64):
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            module.weight.data.abs_()
            module.bias.data.zero_()
        elif isinstance(module, nn.BatchNorm2d):
            scale = module.weight.data.abs() / (module.running_var + module.eps).sqrt()
            conv = nn.Conv2d(len(scale), len(scale), 1, groups=len(scale), bias=False).to(torch.float64)
            conv.weight.data.copy_(scale.view(-1, 1, 1, 1))
            module = conv
        elif isinstance(module, nn.MaxPool2d):
            module = nn.AvgPool2d(module.kernel_size, module.stride, module.padding)
        elif not isinstance(module, nn.Flatten | nn.AvgPool2d):
            module = nn.Identity()
        parts.append(module)
    return nn.Sequential(*parts)


def test_a_convolutional_chain() -> None:
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Dropout(),
        nn.Conv2d(4, 6, 3, stride=2, groups=2), nn.GELU(), nn.Flatten(), nn.Linear(6, 3), nn.Softmax(1),
    )  # fmt: skip
    nn.init.uniform_(net[1].weight, -2, 2)
    nn.init.uniform_(net[1].running_var, 0.5, 2)
    final = torch.tensor([1.0, 2.0, 0.5])
    found = backed_scores(net, torch.randn(5, 2, 6, 6), final, ["0", "5", "8"])
    plain = linearised(net).eval()
    at = torch.ones(1, 2, 6, 6, dtype=torch.float64)
    for index, module in enumerate(plain):
        at = module(at)
        if str(index) in found:
            held = at.detach().requires_grad_()
            out = plain[index + 1 :](held)
            (gradient,) = torch.autograd.grad(out, held, final.double()[None])
            expected = gradient.flatten(2).sum((0, 2)) if gradient.ndim > 2 else gradient.sum(0)
            assert torch.allclose(found[str(index)], expected / expected.sum())


def test_both_branches_of_a_sum_get_the_score() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = (nn.Linear(2, 2, bias=False) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            hidden = self.a(x)
            return self.c(hidden) - torch.tanh(self.b(hidden)) + hidden * 3

    net = Two()
    final = torch.tensor([1.0, 3.0])
    found = backed_scores(net, torch.randn(1, 2), final, ["a", "b", "c"])
    assert torch.allclose(found["b"], torch.tensor([0.25, 0.75]).double())
    weight = net.c.weight.detach().abs() + net.b.weight.detach().abs() + 3 * torch.eye(2)
    expected = (weight.T @ final).double()
    assert torch.allclose(found["a"], expected / expected.sum())


def test_a_residual_network_is_left_alone() -> None:
    net = ResNet(2, 3, BasicBlock, (1, 1), (4, 6))
    before = copy.deepcopy(net.state_dict())
    names = [name for name, module in net.named_modules() if isinstance(module, nn.Conv2d)]
    found = backed_scores(net, torch.randn(1, 2, 8, 8), torch.ones(3), names)
    assert all(score.min() > 0 and float(score.sum()) == pytest.approx(1) for score in found.values())
    assert net.training
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in before.items())
    assert next(net.parameters()).dtype == torch.float32


def test_bad_input() -> None:
    net = nn.Sequential(nn.Linear(2, 3))
    with pytest.raises(InputError, match="4 scores for outputs"):
        backed_scores(net, torch.zeros(1, 2), torch.ones(4), ["0"])
    with pytest.raises(InputError, match="no rule for the operation 'cumsum'"):
        backed_scores(Odd(), torch.zeros(1, 2), torch.ones(3), ["fc"])


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x).cumsum(1)


@pytest.mark.parametrize("steps", [1, 5, 6])
@pytest.mark.parametrize("form", ["layer", "rms", "rms by place", "group", "instance"])
def test_a_norm_scales_along_its_own_axis(form: str, steps: int) -> None:
    scale = torch.arange(1.0, 7.0)

    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 3)
            self.norm = {"layer": nn.LayerNorm(6), "group": nn.GroupNorm(2, 6)}.get(form, nn.RMSNorm(6))
            if form == "instance":
                self.norm = nn.InstanceNorm1d(6, affine=True, track_running_stats=True)
            self.norm.weight.data = scale

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x)
            if form == "rms by place":
                x = torch.rms_norm(x, (6,), self.norm.weight)
            else:
                x = self.norm(x.mT).mT if form in ("group", "instance") else self.norm(x)
            return self.b(x).mean(1)

    net, final = Normed(), torch.tensor([1.0, 2.0, 3.0])
    found = backed_scores(net, torch.zeros(2, steps, 4), final, ["a"])["a"]
    expected = scale * (net.b.weight.detach().abs().T @ final)
    assert torch.allclose(found, (expected / expected.sum()).double())


class TestProducts:
    """A factor that is no activation is a weight; each of several activations gets the product's score."""

    def test_a_parameter_that_multiplies_is_a_weight(self) -> None:
        class Scaled(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.a, self.scale = nn.Linear(2, 2), nn.Parameter(torch.tensor([1.0, -100.0]))

            def forward(self, x: Tensor) -> Tensor:
                return self.a(x) * self.scale

        found = backed_scores(Scaled(), torch.zeros(1, 2), torch.ones(2), ["a"])["a"]
        assert torch.allclose(found, torch.tensor([1 / 101, 100 / 101]).double())

    def test_a_gate_and_its_signal(self) -> None:
        class Gated(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv, self.down, self.up = nn.Conv2d(1, 4, 3), nn.Linear(4, 2), nn.Linear(2, 4)

            def forward(self, x: Tensor) -> Tensor:
                x = self.conv(x)
                gate = torch.sigmoid(self.up(torch.relu(self.down(x.mean((2, 3))))))
                return (x * gate[:, :, None, None]).mean((2, 3))

        net, final = Gated(), torch.tensor([1.0, 2.0, 3.0, 4.0]).double()
        found = backed_scores(net, torch.zeros(1, 1, 5, 5), final, ["conv", "down", "up"])
        assert torch.allclose(found["up"], final / 10)
        down = net.up.weight.detach().abs().double().T @ final
        assert torch.allclose(found["down"], down / down.sum())
        conv = final + net.down.weight.detach().abs().double().T @ down
        assert torch.allclose(found["conv"], conv / conv.sum())

    @pytest.mark.parametrize("form", ["matmul", "bmm", "einsum", "fused", "fused by name"])
    def test_attention(self, form: str) -> None:
        class Attention(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.q, self.k, self.v, self.out = (nn.Linear(4, 4) for _ in range(4))

            def forward(self, x: Tensor) -> Tensor:
                q, k, v = self.q(x), self.k(x), self.v(x)
                if form == "fused":
                    return self.out(nn.functional.scaled_dot_product_attention(q, k, v)).mean(1)
                if form == "fused by name":
                    return self.out(nn.functional.scaled_dot_product_attention(value=v, key=k, query=q)).mean(1)
                if form == "einsum":
                    return self.out(
                        torch.einsum("nij,njd->nid", torch.einsum("nid,njd->nij", q, k).softmax(2), v)
                    ).mean(1)
                times = torch.bmm if form == "bmm" else torch.matmul
                return self.out(times(times(q, k.mT).softmax(2), v)).mean(1)

        net, final = Attention(), torch.tensor([1.0, 2.0, 3.0, 4.0]).double()
        found = backed_scores(net, torch.zeros(1, 5, 4), final, ["q", "k", "v"])
        values = net.out.weight.detach().abs().double().T @ final
        assert torch.allclose(found["v"], values / values.sum())
        assert torch.allclose(found["q"], torch.full((4,), 0.25).double())
        assert torch.allclose(found["k"], torch.full((4,), 0.25).double())

    def test_what_cuts_the_way_is_named(self) -> None:
        class Cut(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)

            def forward(self, x: Tensor) -> Tensor:
                return self.b(x) + self.a(x).detach()

        with pytest.raises(InputError, match="no score reached layer 'a'.*detach cuts the way; exclude the layer"):
            backed_scores(Cut(), torch.zeros(1, 2), torch.ones(2), ["a", "b"])


class Written(nn.Module):
    """What ``nn.MultiheadAttention`` computes, in plain operations, without the scale and with its weights."""

    def __init__(self, given: nn.MultiheadAttention) -> None:
        super().__init__()
        self.given = given
        held = given.in_proj_weight
        parts = [given.q_proj_weight, given.k_proj_weight, given.v_proj_weight] if held is None else held.chunk(3)
        shifts = [None] * 3 if given.in_proj_bias is None else given.in_proj_bias.detach().chunk(3)
        self.parts, self.shifts = [one.detach() for one in parts], shifts

    def forward(self, *given: Tensor) -> tuple[Tensor, Tensor]:
        heads, size = self.given.num_heads, self.given.head_dim
        query, key, value = (
            nn.functional.linear(x, weight, shift).view(*x.shape[:2], heads, size).transpose(1, 2)
            for x, weight, shift in zip(given, self.parts, self.shifts, strict=True)
        )
        weights = torch.matmul(query, key.transpose(2, 3)).softmax(3)
        joined = torch.matmul(weights, value).transpose(1, 2).reshape(*given[0].shape[:2], heads * size)
        return nn.functional.linear(joined, self.given.out_proj.weight, self.given.out_proj.bias), weights.mean(1)


class TestHeads:
    """Multi-head attention as one operation is the same attention written out."""

    class Net(nn.Module):
        def __init__(self, attention: nn.Module, sources: str) -> None:
            super().__init__()
            self.attention, self.sources = attention, sources
            self.a, self.b, self.seen, self.head = nn.Linear(4, 8), nn.Linear(4, 6), nn.Linear(5, 3), nn.Linear(8, 3)
            self.learnt = nn.Parameter(torch.randn(1, 5, 8))

        def forward(self, x: Tensor) -> Tensor:
            known = {"a": self.a(x), "b": self.b(x), "learnt": self.learnt}
            out, seen = self.attention(*(known[name] for name in self.sources.split()))
            return self.head(torch.relu(out)).mean(1) + self.seen(seen).mean(1)

    @pytest.mark.parametrize(
        ("sources", "options"),
        [
            ("a a a", {}),
            ("a a a", {"bias": False}),
            ("a b b", {"kdim": 6, "vdim": 6}),
            ("learnt a a", {}),
        ],
    )
    def test_as_written_out(self, sources: str, options: dict[str, object]) -> None:
        torch.manual_seed(0)
        fused = self.Net(nn.MultiheadAttention(8, 2, batch_first=True, **options), sources)  # type: ignore[arg-type]
        nn.init.normal_(fused.attention.out_proj.weight)
        plain = self.Net(Written(fused.attention), sources)
        plain.load_state_dict(fused.state_dict(), strict=False)
        final, layers = torch.tensor([1.0, 2.0, 3.0]), [*dict.fromkeys(sources.replace("learnt", "a").split()), "head"]
        found, wanted = (backed_scores(net, torch.zeros(1, 5, 4), final, layers) for net in (fused, plain))
        assert float(found["a"].std()) > 1e-3
        for name in layers:
            assert torch.allclose(found[name], wanted[name], rtol=1e-6)

    @pytest.mark.parametrize("first", [True, False])
    def test_of_a_transformer(self, first: bool) -> None:
        one = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, norm_first=first)
        net = nn.Sequential(nn.Linear(4, 8), nn.TransformerEncoder(one, 2, enable_nested_tensor=False), nn.Linear(8, 3))
        names = [name for name, module in net.named_modules() if type(module) is nn.Linear]
        found = backed_scores(net, torch.zeros(1, 3, 4), torch.ones(3), names)
        assert len(found) == 6
        assert all(float(score.min()) > 0 and float(score.sum()) == pytest.approx(1) for score in found.values())


@pytest.mark.parametrize("head", cluster_heads.names())
def test_every_cluster_head(head: str) -> None:
    net = clusterer(head)
    layers = [name for name, module in net.encoder.named_modules() if isinstance(module, nn.Linear)]
    found = backed_scores(net, torch.zeros(1, 4), torch.ones(3), [f"encoder.{name}" for name in layers])
    assert all(float(score.sum()) == pytest.approx(1) for score in found.values())


def test_a_network_that_weighs_by_time_is_followed_whole() -> None:
    net = nets.build("dilated-autoencoder", in_shape=(2, 16), classes=0)
    names = [name for name, module in net.named_modules() if isinstance(module, nn.Conv1d | nn.Linear)]
    found = backed_scores(net, torch.zeros(1, 2, 16), torch.ones(2), names)
    assert all(float(score.sum()) == pytest.approx(1) for score in found.values())


def test_gates_that_are_widened_to_their_maps_and_largest_values() -> None:
    class Gated(nn.Module):
        def __init__(self, wide: bool) -> None:
            super().__init__()
            self.wide = wide
            self.a, self.gate, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            maps = self.a(x)
            gate = torch.sigmoid(self.gate(maps.mean((2, 3)))).view(-1, 4, 1, 1)
            maps = maps * (gate.expand_as(maps) if self.wide else gate)
            out: Tensor = self.head(maps.amax((2, 3)) if self.wide else maps.mean((2, 3)))
            return out

    wide = Gated(wide=True)
    plain = Gated(wide=False)
    plain.load_state_dict(wide.state_dict())
    final = torch.tensor([1.0, 2.0])
    one, two = (backed_scores(net, torch.randn(3, 1, 6, 6), final, ["a", "gate", "head"]) for net in (wide, plain))
    assert all(torch.allclose(one[name], two[name]) for name in two)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("kind", "gates", "more"),
    [(nn.GRU, 3, {}), (nn.LSTM, 4, {}), (nn.RNN, 1, {}), (nn.LSTM, 4, {"proj_size": 3}),
     (nn.GRU, 3, {"bidirectional": True, "num_layers": 2})],
)  # fmt: skip
def test_a_recurrent_layer_is_its_weights_on_inputs(
    kind: type[nn.RNNBase], gates: int, more: dict[str, object], first: bool
) -> None:
    class Read(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.rnn = nn.Conv1d(2, 6, 3), kind(6, 5, batch_first=first, **more)
            self.head = nn.Linear(int(more.get("proj_size", 5)) * (2 if "bidirectional" in more else 1), 4)

        def forward(self, x: Tensor) -> Tensor:
            steps = self.conv(x).permute(0, 2, 1) if first else self.conv(x).permute(2, 0, 1)
            out: Tensor = self.head(self.rnn(steps)[0].mean(1 if first else 0))
            return out

    net, final = Read(), torch.tensor([1.0, 2.0, 3.0, 4.0])
    found = backed_scores(net, torch.randn(3, 2, 9), final, ["conv", "head"])["conv"]
    score = final.double() @ net.head.weight.detach().abs().double()
    held = {name: value.detach().abs().double() for name, value in net.rnn.named_parameters()}

    def into(score: Tensor, place: str) -> Tensor:
        score = score @ held[f"weight_hr_{place}"] if "proj_size" in more else score
        return score.repeat(gates) @ held[f"weight_ih_{place}"]

    for layer in reversed(range(int(more.get("num_layers", 1)))):
        parts = score.chunk(2) if "bidirectional" in more else [score]
        score = sum(into(one, f"l{layer}{end}") for one, end in zip(parts, ("", "_reverse"), strict=False))
    assert torch.allclose(found, score / score.sum())


def test_packed_series_are_refused() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.GRU(2, 3), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.head(self.rnn(nn.utils.rnn.pack_padded_sequence(x, torch.tensor([4])))[1][-1])
            return out

    with pytest.raises(InputError, match="use another criterion"):
        backed_scores(Packed(), torch.zeros(4, 1, 2), torch.ones(2), ["head"])
