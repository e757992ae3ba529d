"""Weights with many zeros: small on disk, and the same bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from nervure import data, nets, store, train
from nervure.errors import InputError, RunError
from nervure.nets.packing import pack, unpack
from nervure.store.packed import load_weights, save_weights

KINDS = [
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.complex64, torch.int64,
    torch.int8, torch.uint8, torch.bool,
]  # fmt: skip


def same(one: Tensor, two: Tensor) -> bool:
    """Whether two tensors are the same bytes in the same shape and type."""
    if one.dtype != two.dtype or one.shape != two.shape:
        return False
    raw = [np.frombuffer(bytes(x.contiguous().flatten().view(torch.uint8).tolist()), np.uint8) for x in (one, two)]
    return np.array_equal(*raw)


def thin(shape: tuple[int, ...], share: float, seed: int = 0) -> Tensor:
    """Normal values of which a share is exactly zero."""
    value = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    count = round(share * value.numel())
    value.view(-1)[torch.randperm(value.numel(), generator=torch.Generator().manual_seed(seed))[:count]] = 0
    return value


@given(st.sampled_from(KINDS), st.integers(0, 400), st.floats(0, 1), st.integers(0, 2**16))
@settings(max_examples=60, deadline=None)
def test_every_kind_of_number_comes_back(kind: torch.dtype, count: int, share: float, seed: int) -> None:
    value = (3 * thin((count,), share, seed)).to(kind)
    packed = pack({"a": value})
    assert same(unpack(*packed)["a"], value)
    assert sum(one.nbytes for one in packed.tensors.values()) <= value.nbytes


def test_negative_zero_and_nan_are_values() -> None:
    value = torch.zeros(4000)
    value[5], value[6], value[7] = -0.0, float("nan"), float("-inf")
    value.view(torch.int32)[8] = 0x7F800123
    packed = pack({"a": value})
    assert packed.tensors["a:values"].shape == (4,)
    assert same(unpack(*packed)["a"], value)


def test_strided_empty_and_single_numbers() -> None:
    wide = thin((60, 80), 0.9)
    state = {"turned": wide.T, "step": wide[::2, ::3], "none": wide[:0], "one": torch.tensor(0.0), "zero": wide * 0}
    packed = pack(state)
    assert set(packed.shapes) == {"turned", "step", "zero"}
    back = unpack(*packed)
    assert back.keys() == state.keys()
    assert all(same(back[name], value) for name, value in state.items())


def test_what_would_not_be_smaller_stays() -> None:
    assert not pack({"a": thin((100, 100), 0.0), "b": torch.zeros(40), "c": thin((1000,), 0.03)}).shapes
    assert pack({"c": thin((10_000,), 0.1)}).shapes


def test_a_name_that_is_taken_is_left_alone() -> None:
    state = {"a": torch.zeros(5000), "a:bits": torch.ones(3)}
    packed = pack(state)
    assert not packed.shapes
    assert same(unpack(*packed)["a:bits"], state["a:bits"])


class TestFiles:
    def test_a_network_of_nine_tenths_zeros(self, tmp_path: Path) -> None:
        net = nets.build("lenet-300-100", in_shape=(1, 28, 28), classes=10)
        store.save(tmp_path / "dense", net)
        with torch.no_grad():
            for layer in net.modules():
                if isinstance(layer, nn.Linear):
                    layer.weight.copy_(thin(tuple(layer.weight.shape), 0.9))
        store.save(tmp_path / "sparse", net)
        sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("dense", "sparse")]
        assert sizes[1] <= 0.15 * sizes[0]
        back = store.load(tmp_path / "sparse").net
        assert all(same(value, net.state_dict()[name]) for name, value in back.state_dict().items())

    def test_masks_take_a_bit_each(self, tmp_path: Path) -> None:
        weight, mask = torch.randn(200, 300), torch.rand(200, 300) > 0.5
        save_weights(tmp_path / "w", {"weight": weight, "mask": mask})
        assert (tmp_path / "w").stat().st_size < weight.nbytes + mask.numel() / 8 + 1000
        assert same(load_weights(tmp_path / "w")["mask"], mask)

    def test_a_dense_network_is_a_plain_file(self, tmp_path: Path) -> None:
        net = nn.Sequential(nn.Linear(30, 20), nn.BatchNorm1d(20))
        save_weights(tmp_path / "w", net.state_dict())
        with safe_open(str(tmp_path / "w"), framework="pt") as file:
            assert set(file.keys()) == net.state_dict().keys()
            assert file.metadata() is None

    def test_the_same_weights_are_the_same_bytes(self, tmp_path: Path) -> None:
        state = {name: thin((50, 70), 0.8, seed) for seed, name in enumerate("abcdef")}
        for name in ("one", "two"):
            save_weights(tmp_path / name, state)
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"a:bits": torch.zeros(3, dtype=torch.uint8)}, "its bits are 3 bytes; shape \\[50, 90\\] needs 563"),
            ({"a:bits": torch.zeros(563)}, "its bits are 563 bytes"),
            ({"a:bits": torch.zeros(563, dtype=torch.uint8)}, "0 bits are set, and there are 450 values"),
            ({"a:bits": torch.full((563,), 255, dtype=torch.uint8)}, "beyond its 4500 places"),
            ({"a:values": torch.ones(2)}, "450 bits are set, and there are 2 values"),
            ({"a:bits": None}, "its bits are missing"),
            ({"shapes": '{"a": [-50, 90]}'}, "is no shape"),
            ({"shapes": '{"a": [50000000, 90000000]}'}, "its bits are 563 bytes"),
            ({"shapes": '{"a": 3}'}, "list of packed tensors"),
            ({"shapes": "{"}, "damaged"),
        ],
    )
    def test_damage_is_said_on_one_line(self, tmp_path: Path, change: dict[str, object], message: str) -> None:
        packed = pack({"a": thin((50, 90), 0.9)})
        tensors = {**packed.tensors, **{name: one for name, one in change.items() if name != "shapes"}}
        kept = {name: one for name, one in tensors.items() if isinstance(one, Tensor)}
        save_file(kept, tmp_path / "w", metadata={"packed": str(change.get("shapes", json.dumps(packed.shapes)))})
        with pytest.raises(RunError, match=message) as error:
            load_weights(tmp_path / "w")
        assert "\n" not in str(error.value)

    def test_a_run_of_the_first_schema_still_loads(self, tmp_path: Path) -> None:
        from nervure.store.record import digest_of

        net = nets.build("lenet-300-100", in_shape=(1, 8, 8), classes=10)
        store.save(tmp_path / "run", net)
        data = json.loads((tmp_path / "run" / "run.json").read_text())
        del data["digest"]
        data["schema_version"] = 1
        (tmp_path / "run" / "run.json").write_text(json.dumps({**data, "digest": digest_of(data)}))
        assert same(store.load(tmp_path / "run").net.state_dict()["classifier.0.weight"], next(net.parameters()))


def test_bits_alone_are_truth_values() -> None:
    with pytest.raises(InputError, match="bits are missing"):
        unpack({}, {"a": [2]})
    assert unpack({"a:bits": torch.tensor([2], dtype=torch.uint8)}, {"a": [2]})["a"].tolist() == [False, True]


class Extra(nn.Linear):
    """Keeps more than tensors."""

    def get_extra_state(self) -> dict[str, int]:
        return {"seen": 3}

    def set_extra_state(self, state: dict[str, int]) -> None: ...


def test_what_a_file_of_weights_cannot_hold_is_named_before_training(tmp_path: Path) -> None:
    ds = data.load("digits").subset(range(50))
    net = nn.Sequential(nn.Flatten(), Extra(64, 10))
    with pytest.raises(InputError, match=r"'1._extra_state' of the network's state is a dict"):
        train.fit(net, ds, train.Recipe(epochs=1), out=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
    net = nn.Linear(2, 2)
    net.register_buffer("thin", torch.eye(2).to_sparse())
    with pytest.raises(InputError, match=r"'thin' .* of layout torch.sparse_coo"):
        save_weights(tmp_path / "w.safetensors", net.state_dict())
