import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from nervure import nets
from nervure.errors import InputError


def macs(net, shape, **settings):
    return nets.count(net, shape, **settings).macs


@pytest.mark.parametrize(
    ("net", "shape", "expected", "outputs"),
    [
        (nn.Linear(5, 7), (5,), 35, 7),
        (nn.Linear(5, 7), (4, 5), 4 * 35, 4 * 7),
        (nn.Linear(5, 7, bias=False), (5,), 35, 0),
        (nn.Conv1d(3, 8, 5, stride=2), (3, 21), 9 * 8 * 3 * 5, 9 * 8),
        (nn.Conv2d(3, 8, (3, 5), padding=1), (3, 9, 11), 9 * 9 * 8 * 3 * 15, 9 * 9 * 8),
        (nn.Conv2d(6, 12, 3, padding=1, groups=3, bias=False), (6, 4, 4), 16 * 12 * 2 * 9, 0),
        (nn.Conv2d(6, 6, 3, padding=1, groups=6), (6, 4, 4), 16 * 6 * 9, 16 * 6),
        (nn.Conv3d(2, 3, 2), (2, 4, 4, 4), 27 * 3 * 2 * 8, 27 * 3),
        (nn.ConvTranspose2d(4, 6, 3, stride=2), (4, 5, 5), 25 * 4 * 6 * 9, 11 * 11 * 6),
        (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), (4, 5, 5), 25 * 4 * 3 * 9, 11 * 11 * 6),
    ],
)
def test_layers_by_hand(net, shape, expected, outputs):
    assert nets.count(net, shape).ops == expected
    assert nets.count(net, shape, bias=True).ops == expected + outputs
    assert nets.count(net, shape, unit="flop2", bias=True).ops == 2 * (expected + outputs)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("need_weights", [True, False])
def test_attention_by_hand(fast, need_weights):
    class SelfAttention(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            return self.attention(x, x, x, need_weights=need_weights)[0]

    time, size = 5, 8
    projections, products = 4 * time * size * size, 2 * time * time * size
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(fast)
    try:
        cost = nets.count(SelfAttention(), (time, size), bias=True)
        assert torch.backends.mha.get_fastpath_enabled() is fast
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
    assert nets.count(SelfAttention(), (time, size)).ops == projections + products
    assert cost.ops == projections + products + 4 * time * size


def test_transformer_layer_by_hand():
    layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True)
    time = 6
    expected = 4 * time * 64 + 2 * time * time * 8 + 2 * time * 8 * 16
    assert macs(layer, (time, 8)) == expected


def test_plain_scaled_dot_product():
    class Attend(nn.Module):
        def forward(self, x):
            return functional.scaled_dot_product_attention(x, x, x)

    assert macs(Attend(), (2, 5, 4)) == 2 * 2 * 5 * 5 * 4


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_recurrent_by_hand(kind, gates, bidirectional):
    net = kind(5, 7, num_layers=2, bidirectional=bidirectional, batch_first=True)
    ways, time = (2 if bidirectional else 1), 9
    first = gates * 7 * (5 + 7)
    second = gates * 7 * (7 * ways + 7)
    assert macs(net, (time, 5)) == time * ways * (first + second)
    biased = nets.count(net, (time, 5), bias=True).ops - macs(net, (time, 5))
    assert biased == time * ways * 2 * 2 * gates * 7


def test_projected_lstm_equals_its_cells_by_hand():
    net = nn.LSTM(5, 7, proj_size=3, batch_first=True)
    assert macs(net, (4, 5)) == 4 * (4 * 7 * (5 + 3) + 7 * 3)


def test_recurrent_agrees_with_the_products_of_its_cells():
    """The same network written with LSTMCell, whose matrix products torch's own rules count."""

    class Cells(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.LSTMCell(5, 7)

        def forward(self, x):
            state = None
            for step in x.unbind(1):
                state = self.cell(step, state)
            return state[0]

    assert macs(Cells(), (6, 5)) == macs(nn.LSTM(5, 7, batch_first=True), (6, 5))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 16)
        self.second = nn.Linear(16, 4)

    def forward(self, x):
        return x + self.second(torch.relu(self.first(x)))


@pytest.mark.parametrize(
    ("net", "values"),
    [
        # input 4, then 8; then input 4, 8, and its result 8; then input, 8 and 2.
        (nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), 4 + 8 + 8),
        (nn.Sequential(nn.Linear(4, 8), nn.ReLU(inplace=True), nn.Linear(8, 2)), 4 + 8 + 2),
        (Residual(), 4 + 16 + 16),
        # The input is held throughout by the caller, the residual too until the sum.
        (nn.Sequential(nn.Linear(4, 4), Residual()), 4 + 4 + 16 + 16),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), 4 + 2),
    ],
)
def test_peak_memory_by_hand(net, values):
    assert nets.count(net, (4,)).peak_activation_bytes == 4 * values
    assert nets.count(net.double(), (4,)).peak_activation_bytes == 8 * values


def test_peak_does_not_depend_on_whether_data_is_there():
    class Looks(nn.Sequential):
        def forward(self, x):
            return super().forward(x) if float(x.sum()) >= 0 else x

    def layers():
        return nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.Flatten(), nn.Linear(72, 3)

    blind, looks = (nets.count(kind(*layers()), (1, 8, 8)) for kind in (nn.Sequential, Looks))
    assert blind.macs == looks.macs == 64 * 4 * 9 + 36 * 2 * 4 * 9 + 72 * 3
    # The looking one holds its sum for a moment, long before the peak.
    assert blind.peak_activation_bytes == looks.peak_activation_bytes


def test_shared_and_reused_modules():
    shared = nn.Linear(4, 4)
    cost = nets.count(nn.Sequential(shared, nn.ReLU(), shared), (4,))
    assert (cost.params, cost.macs) == (20, 32)
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    tied[1].weight = tied[0].weight
    assert nets.count(tied, (4,)).params == 16 + 4 + 4
    assert nets.weights(tied) == 16


class Held(nn.Module):
    """One weight, and what is made of it and the input."""

    def __init__(self, shape, forward):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape))
        self.use = forward

    def forward(self, x):
        return self.use(x, self.weight)


@pytest.mark.parametrize(
    "module",
    [
        Held((4, 4), lambda x, w: x * w),
        Held((4, 4), lambda x, w: x + w),
        Held((2, 4), lambda x, w: torch.cat([w.expand(len(x), -1, -1), x], 1)),
        Held((7, 4), lambda x, w: x + w[torch.arange(4)]),
        Held((7, 4), lambda x, w: x + functional.embedding(torch.arange(4), w)),
        Held((4, 4), lambda x, w: functional.layer_norm(x, (4, 4), w)),
        Held((4, 4), lambda x, w: functional.rms_norm(x, (4, 4), w)),
        Held((1, 4), lambda x, w: torch.where(x > 0, x, x * w).softmax(-1)),
        nn.LayerNorm((4, 4)),
        nn.utils.parametrizations.spectral_norm(nn.PReLU(4)),
    ],
)
def test_what_moves_scales_or_normalises_costs_nothing(module):
    assert nets.count(nn.Sequential(nn.Linear(4, 4), module.eval()), (4, 4)).macs == 64


def test_embeddings_cost_nothing():
    assert nets.count(nn.Embedding(9, 3), torch.tensor([[1, 2]])).macs == 0
    assert nets.count(nn.EmbeddingBag(9, 3), torch.tensor([[1, 2]])).macs == 0


def test_what_works_place_by_place_beside_weights_counts_nothing():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.slope = nn.Parameter(torch.ones(5, 4)), nn.Parameter(torch.ones(1))

        def forward(self, x):
            turned = torch.polar(x, x).real + torch.linalg.cross(x[:, :3], x[:, :3]).sum()
            return nn.functional.linear(nn.functional.prelu(turned, self.slope), self.weight)

    assert nets.count(Own(), (4,)).macs == 20


def test_a_module_that_cannot_be_counted_is_named():
    class Prototypes(nn.Module):
        def __init__(self):
            super().__init__()
            self.place = nn.Parameter(torch.ones(5, 4))

        def forward(self, x):
            return torch.cdist(x, self.place)

    with pytest.raises(InputError, match=r"module '1' \(Prototypes\) holds weights, .* aten._cdist_forward"):
        nets.count(nn.Sequential(nn.Linear(4, 4), Prototypes()), (4,))

    class Projected(Prototypes):
        def forward(self, x):
            return super().forward(x @ self.place.T[:, :4])

    with pytest.raises(InputError, match=r"module '' \(Projected\) holds weights, .* aten._cdist_forward"):
        nets.count(Projected(), (4,))
    with pytest.raises(InputError, match="Bilinear"):
        nets.count(nn.Bilinear(2, 3, 4), (torch.zeros(1, 2), torch.zeros(1, 3)))
    Prototypes.costs_nothing = True
    assert nets.count(nn.Sequential(nn.Linear(4, 4), Prototypes()), (4,)).macs == 16


def test_products_with_a_vector():
    assert nets.count(Held(6, lambda x, w: x[0] @ w), (5, 6)).macs == 30
    assert nets.count(Held(6, lambda x, w: torch.addmv(w[:5], x[0], w)), (5, 6)).macs == 30
    assert nets.count(Held(6, lambda x, w: x[0, 0] @ w), (5, 6)).macs == 6


def test_biases_are_those_of_layers():
    class Turned(nn.Linear):
        def forward(self, x):
            return super().forward(x.transpose(1, 2))

    shapes = {"Linear": nn.Linear(8, 16), "behind a transpose": Turned(6, 16), "Conv1d": nn.Conv1d(6, 4, 3)}
    with_bias = {
        name: nets.count(net, (6, 8), bias=True).ops - nets.count(net, (6, 8)).ops for name, net in shapes.items()
    }
    assert with_bias == {"Linear": 6 * 16, "behind a transpose": 8 * 16, "Conv1d": 4 * 6}


def test_a_mask_is_no_bias():
    class Attends(nn.Module):
        def __init__(self):
            super().__init__()
            self.mha = nn.MultiheadAttention(8, 2, batch_first=True, bias=False)

        def forward(self, x):
            return self.mha(x, x, x, attn_mask=torch.zeros(3, 3))[1]

    assert nets.count(Attends(), (3, 8), bias=True).ops == nets.count(Attends(), (3, 8)).ops


def test_the_peak_is_that_of_one_sample():
    class Looks(nn.Linear):
        def forward(self, x):
            return super().forward(x) if float(x.sum()) >= 0 else x

    one, many = (nets.count(Looks(8, 2), torch.ones(n, 8)).peak_activation_bytes for n in (1, 1000))
    assert one == many


def test_examples_count_one_sample_and_touch_nothing():
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout())
    before = copy.deepcopy(net.state_dict())
    state = torch.get_rng_state()
    assert nets.count(net, torch.ones(7, 4)) == nets.count(net, (4,))
    assert net.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_parameters_without_biases_and_rows_and_table():
    cost = nets.count(nets.build("lenet5", in_shape=(1, 28, 28), classes=10), (1, 28, 28))
    first = cost.row("features.0")
    assert (first.type, first.params, first.ops, first.output) == ("Conv2d", 156, 784 * 6 * 25, (6, 28, 28))
    assert first.activation_bytes == 4 * 6 * 784
    table = cost.table()
    assert [row[0] for row in table.rows] == [
        "total", "features.0", "features.3", "classifier.0", "classifier.2", "classifier.4",
    ]  # fmt: skip
    assert table.rows[0][2:4] == (61_706, cost.macs)
    assert "61,706 parameters" in table.alt
    with pytest.raises(InputError, match="no module 'features'"):
        cost.row("features")


@pytest.mark.parametrize("given", [(), (0, 3), "ab", (torch.zeros(1), 3)])
def test_what_is_no_sample_is_refused(given):
    with pytest.raises(InputError, match="no sample"):
        nets.count(nn.Linear(3, 2), given)


def test_other_bad_input():
    with pytest.raises(InputError, match="unit='mops'"):
        nets.count(nn.Linear(3, 2), (3,), unit="mops")
    with pytest.raises(InputError, match=r"Linear does not run on input of shape \(1, 4\)"):
        nets.count(nn.Linear(3, 2), (4,))


def test_a_recurrent_layer_called_by_name():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(3, 4, batch_first=True)

        def forward(self, x):
            return self.rnn(input=x)[0]

    assert nets.count(Named(), (5, 3)).macs == nets.count(nn.GRU(3, 4, batch_first=True), (5, 3)).macs
