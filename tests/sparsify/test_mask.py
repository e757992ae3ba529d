from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from nervure import nets, sparsify
from nervure.data import Dataset
from nervure.errors import InputError
from nervure.sparsify import Mask


@pytest.fixture
def net() -> nn.Module:
    return nets.build("lenet5", in_shape=(1, 8, 8), classes=10, seed=0).eval()


@pytest.fixture
def mask(net: nn.Module) -> Mask:
    return sparsify.plan(net, None, "random", {"features.0": 0.3, "classifier.4": 0.5}, seed=3)


def test_it_is_saved_a_bit_an_edge_and_read_again(mask: Mask, tmp_path: Path) -> None:
    path = mask.save(tmp_path / "mask")
    assert path.name == "mask.json"
    assert Mask.load(path) == mask
    assert Mask.load(tmp_path / "mask") == mask
    size = (tmp_path / "mask.safetensors").stat().st_size
    assert size < mask.edges / 8 + 1000
    said = json.loads(path.read_text())
    assert (said["criterion"], said["settings"], said["seed"]) == ("random", {"seed": 3}, 3)
    assert said["rows"][0] == {"layer": "features.0", "shape": [6, 1, 5, 5], "kept": 105, "asked": 0.3}


def test_what_is_no_mask_is_refused(mask: Mask, tmp_path: Path) -> None:
    path = mask.save(tmp_path / "mask.json")
    other = sparsify.plan(nets.build("lenet5", in_shape=(1, 8, 8), classes=10), None, "random", 0.5)
    other.save(tmp_path / "other.json")
    (tmp_path / "other.safetensors").rename(tmp_path / "mask.safetensors")
    with pytest.raises(InputError, match="not the bits of mask.json"):
        Mask.load(path)
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "b.json").write_text('{"bits": "", "rows": 3}')
    (tmp_path / "c.json").write_text("[1")
    for name in "abc":
        with pytest.raises(InputError, match=f"{name}.json: not a mask that Nervure wrote"):
            Mask.load(tmp_path / name)
    with pytest.raises(InputError, match="cannot be read"):
        Mask.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("schema_version", 99, "schema_version"),
        ("kept", 3, "of which it says 3 stay"),
        ("shape", [7], "its bits are not"),
    ],
)
def test_a_record_that_is_not_of_its_bits_is_refused(
    mask: Mask, tmp_path: Path, field: str, value: object, words: str
) -> None:
    path = mask.save(tmp_path / "mask.json")
    record = json.loads(path.read_text())
    (record if field in record else record["rows"][0])[field] = value
    path.write_text(json.dumps(record))
    with pytest.raises(InputError, match=words):
        Mask.load(path)


def test_applying_removing_and_applying_again(mask: Mask, net: nn.Module) -> None:
    x = torch.randn(2, 1, 8, 8)
    thin = mask.apply(net)
    assert torch.equal(mask.remove(thin)(x), net(x))
    assert torch.equal(mask.apply(mask.remove(thin))(x), thin(x))
    assert torch.equal(mask.apply(thin)(x), thin(x))
    assert torch.equal(mask.bake(net)(x), thin(x))
    other = nets.build("lenet5", in_shape=(1, 8, 8), classes=10, seed=5)
    assert Mask.of(mask.apply(other)).masks["features.0"].equal(mask.masks["features.0"])


def test_another_network_is_refused_by_name(mask: Mask) -> None:
    wide = nets.build("lenet5", in_shape=(1, 8, 8), classes=7)
    with pytest.raises(
        InputError, match=r"another network: 'classifier.4.weight' has shape \(10, 84\) in it, and here"
    ):
        mask.apply(wide)
    with pytest.raises(InputError, match="another network: .* is not there"):
        mask.apply(nn.Linear(2, 2))


def test_agreement_is_counted_by_layer_and_on_the_whole(net: nn.Module) -> None:
    one = Mask.for_net(net, {"features.0": torch.ones(6, 1, 5, 5) > 0, "classifier.4": torch.ones(10, 84) > 0})
    bits = torch.ones(10, 84) > 0
    bits[:, :42] = False
    two = Mask.for_net(net, {"features.0": torch.ones(6, 1, 5, 5) > 0, "classifier.4": bits})
    found = one.compare(two)
    assert found.layers == {"features.0": 1.0, "classifier.4": 0.5}
    assert found.whole == pytest.approx((150 + 420) / 990)
    assert found == two.compare(one)
    with pytest.raises(InputError, match=r"not of the same layers: 'classifier.4'"):
        one.compare(Mask.for_net(net, {"features.0": one.masks["features.0"]}))


def test_of_reads_masks_and_zeros(mask: Mask, net: nn.Module) -> None:
    of_masked, of_zeros = Mask.of(mask.apply(net)), Mask.of(mask.bake(net))
    assert of_masked.about.criterion == "mask" and of_zeros.about.criterion == "zeros"
    for name, bits in of_zeros.masks.items():
        assert torch.equal(bits, mask.masks[name])
    assert set(of_zeros.masks) == {"features.0", "classifier.4"}
    assert Mask.of(net).sparsity == 0.0


def test_evidence_says_what_was_asked_and_reached(mask: Mask, ds: Dataset) -> None:
    table = mask.evidence["edges"]
    assert table.rows[0] == ("features.0", 150, 105, 0.3, pytest.approx(0.3))
    assert table.rows[-1][:3] == ("network", mask.edges, mask.kept)
    assert mask.evidence["sparsity"].values[0, 1] == 0.0
    assert mask.sparsity == pytest.approx((45 + 420) / mask.edges)
