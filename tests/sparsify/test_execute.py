"""Layers are sparse where the measured table says so, and nowhere else."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nervure import nets, store
from nervure.errors import InputError
from nervure.sparsify.execute import measured, sparse, table_of
from nervure.sparsify.masked import masked
from nervure.sparsify.sparse_layers import SparseLayer, SparseLinear, SparsePointwise
from nervure.sparsify.times import TimeTable


@pytest.fixture
def net() -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(2, 16, 3), nn.ReLU(), nn.Conv2d(16, 24, 1), nn.ReLU(), nn.Flatten(), nn.Linear(24 * 16, 32),
        nn.ReLU(), nn.Linear(32, 4),
    ).requires_grad_(False)  # fmt: skip
    for module in (made[2], made[5]):
        module.weight[torch.rand(module.weight.shape, generator=generator) < 0.9] = 0
    return made.eval()


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(2, 2, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def table(net: nn.Module, x: torch.Tensor) -> TimeTable:
    return measured(net, x)


def as_if(table: TimeTable, **ratios: float) -> TimeTable:
    """The table as if it had found these ratios: clocks decide nothing in a test."""
    rows = [row.model_copy(update={"ratio": ratios.get(f"l{row.layer}", row.ratio)}) for row in table.rows]
    return table.model_copy(update={"rows": tuple(rows)})


def test_what_is_measured(table: TimeTable) -> None:
    rows = {row.layer: row for row in table.rows}
    assert list(rows) == ["0", "2", "5", "7"]
    assert "1x1" in rows["0"].why
    assert rows["7"].why == "too few zeros (0%) to be tried"
    assert (rows["2"].shape, rows["2"].vectors) == ((24, 16), 32)
    assert (rows["5"].shape, rows["5"].vectors) == ((32, 384), 2)
    for name in ("2", "5"):
        assert rows[name].zeros == pytest.approx(0.9, abs=0.05)
        assert rows[name].difference <= 1e-5
        assert rows[name].dense > 0 < rows[name].sparse
    assert (table.batch, table.threads, table.runs) == (2, torch.get_num_threads(), 30)


def test_layers_are_chosen_by_the_table(net: nn.Module, x: torch.Tensor, table: TimeTable) -> None:
    fast = sparse(net, x, table=as_if(table, l2=0.5, l5=2.0))
    assert isinstance(fast[2], SparsePointwise)
    assert type(fast[5]) is nn.Linear
    both = sparse(net, x, table=as_if(table, l2=0.5, l5=0.5))
    assert isinstance(both[5], SparseLinear)
    assert torch.allclose(both(x), net(x), atol=1e-5)
    assert not any(isinstance(one, SparseLayer) for one in sparse(net, x, table=as_if(table, l2=1.0, l5=1.0)).modules())
    assert type(net[2]) is nn.Conv2d


def test_measured_when_no_table_is_given(net: nn.Module, x: torch.Tensor) -> None:
    fast = sparse(net, x)
    found = table_of(fast)
    assert found is not None
    assert {name for name, one in fast.named_modules() if isinstance(one, SparseLayer)} == set(found.pays)


def test_masked_networks_and_shared_layers(x: torch.Tensor) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Linear(8, 8)
            self.two = self.one

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.two(self.one(x).relu())

    net = masked(Twice(), {"one": torch.rand(8, 8, generator=torch.Generator().manual_seed(0)) < 0.2})
    x = torch.randn(3, 8)
    fast = sparse(net, x, table=as_if(measured(net, x), lone=0.5))
    assert isinstance(fast.one, SparseLinear)
    assert fast.two is fast.one
    assert torch.allclose(fast(x), net(x), atol=1e-5)


def test_it_is_no_network_to_keep(tmp_path: object) -> None:
    net = nets.build("lenet-300-100", in_shape=(1, 8, 8), classes=10).requires_grad_(False)
    net.classifier[0].weight[:, 3:] = 0
    x = torch.randn(2, 1, 8, 8)
    fast = sparse(net, x, table=as_if(measured(net, x), **{"lclassifier.0": 0.5}))
    with pytest.raises(InputError, match="no Origin"):
        store.save(f"{tmp_path}/run", fast)
    assert nets.origin_of(net) is not None


def test_a_table_of_another_place_is_refused(net: nn.Module, x: torch.Tensor, table: TimeTable) -> None:
    for change, message in (
        ({"machine": "another"}, "measured on another"),
        ({"threads": 64}, "with threads = 64"),
        ({"batch": 9}, "at batch = 9"),
    ):
        with pytest.raises(InputError, match=message):
            sparse(net, x, table=table.model_copy(update=change))
    net[5].weight[0, :40] = 1
    with pytest.raises(InputError, match="for another network: '5'"):
        sparse(net, x, table=table)


def test_bad_input(net: nn.Module) -> None:
    with pytest.raises(InputError, match="does not run on input of shape"):
        measured(net, torch.randn(2, 3, 6, 6))
    with pytest.raises(InputError, match="at least one sample"):
        measured(net, torch.randn(0, 2, 6, 6))
    with pytest.raises(InputError, match="no linear layer"):
        measured(nn.Sequential(nn.ReLU()), torch.randn(1, 2))


class TestFusedAttention:
    """Where it predicts, PyTorch's encoder layer reads the weights of its linear layers rather than calling them."""

    @pytest.fixture
    def encoder(self) -> nn.Module:
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        net = nn.Sequential(nn.Linear(4, 8), layer, nn.Linear(8, 3)).requires_grad_(False).eval()
        for module in (net[0], net[1].linear1, net[1].linear2):
            module.weight[:, 1:] = 0
        return net

    def test_its_layers_stay_dense(self, encoder: nn.Module) -> None:
        x = torch.randn(2, 5, 4)
        table = measured(encoder, x)
        rows = {row.layer: row for row in table.rows}
        assert rows["0"].ratio is not None
        assert {rows[f"1.linear{at}"].why for at in (1, 2)} == {"the network never calls it"}
        fast = sparse(encoder, x, table=as_if(table, l0=0.5))
        assert isinstance(fast[0], SparseLinear)
        with torch.inference_mode():
            assert torch.allclose(fast(x), encoder(x), atol=1e-5)
        assert not any("forward" in vars(module) for module in encoder.modules())

    def test_a_sparse_layer_can_be_read(self, encoder: nn.Module) -> None:
        x = torch.randn(2, 5, 4)
        table = measured(encoder, x)
        rows = [row.model_copy(update={"why": "", "ratio": 0.5} if "linear" in row.layer else {}) for row in table.rows]
        fast = sparse(encoder, x, table=table.model_copy(update={"rows": tuple(rows)}))
        assert isinstance(fast[1].linear1, SparseLinear)
        with torch.inference_mode():
            assert torch.allclose(fast(x), encoder(x), atol=1e-5)

    def test_it_is_checked_as_it_will_be_called(self, encoder: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[bool] = []
        forward = nn.TransformerEncoderLayer.forward

        def watched(self: nn.Module, *args: object, **kwargs: object) -> object:
            seen.append(torch.backends.mha.get_fastpath_enabled() and not self.training and not torch.is_grad_enabled())
            return forward(self, *args, **kwargs)  # type: ignore[arg-type]

        monkeypatch.setattr(nn.TransformerEncoderLayer, "forward", watched)
        x = torch.randn(2, 5, 4)
        sparse(encoder, x, table=as_if(measured(encoder, x), l0=0.5))
        assert seen and all(seen)
