from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

import nervure as nv
from nervure.cli import complete, sparsify
from nervure.sparsify import Mask
from nervure.sparsify.size import stored_bytes

CPU = ("--device", "cpu")


def test_writes_a_run_whose_file_is_smaller_and_that_keeps_its_mask(call, base: Path, tmp_path: Path) -> None:
    said = call("sparsify", base, "--sparsity", "0.9", "-o", "thin", *CPU)
    assert said.code == 0, said.err
    run, dense, mask = nv.store.load(tmp_path / "thin"), nv.store.load(base), Mask.load(tmp_path / "thin" / "mask.json")
    assert [action.name for action in run.lineage] == ["train", "sparsify"]
    action = run.lineage[-1]
    assert (action.settings["criterion"], action.settings["sparsity"], action.seed) == ("isparse", 0.9, 0)
    assert action.command.startswith("nervure sparsify ")
    bytes_ = [(path / "model.safetensors").stat().st_size for path in (base, tmp_path / "thin")]
    assert bytes_[1] < 0.25 * bytes_[0]
    assert run.metrics["bytes"] == bytes_[1]
    assert stored_bytes(dense.net) == bytes_[0]
    for row in mask.rows:
        weight = run.net.get_submodule(row.layer).weight
        assert int((weight == 0).sum()) == row.edges - row.kept == round(0.9 * row.edges)
        kept = mask.masks[row.layer]
        assert torch.equal(weight[kept], dense.net.get_submodule(row.layer).weight[kept])
    assert {"sparsity", "edges", "weights", "agreement", "masks", "initial", "sparsified"} <= set(run.evidence)
    assert f"from {bytes_[0]:,} to {bytes_[1]:,} bytes" in said.out
    assert "does not pay in time here" in said.out


def test_a_saved_mask_gives_the_same_network(call, base: Path, tmp_path: Path) -> None:
    assert call("sparsify", base, "--sparsity", "0.5", "-o", "one", "--save-mask", "kept", *CPU, "-q").code == 0
    assert Mask.load(tmp_path / "kept.json") == Mask.load(tmp_path / "one" / "mask.json")
    assert call("sparsify", base, "--mask", "kept.json", "-o", "two", *CPU, "-q").code == 0
    one, two = (nv.store.load(tmp_path / name).net.state_dict() for name in ("one", "two"))
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_kept_masks_give_the_weights_back(call, base: Path, tmp_path: Path) -> None:
    assert call("sparsify", base, "--sparsity", "0.5", "--keep-mask", "-o", "held", *CPU, "-q").code == 0
    held, dense = nv.store.load(tmp_path / "held"), nv.store.load(base)
    mask = Mask.load(tmp_path / "held" / "mask.json")
    back = mask.remove(held.net).state_dict()
    assert all(torch.equal(value, back[name]) for name, value in dense.net.state_dict().items())
    assert Mask.of(held.net).sparsity == mask.sparsity


def test_a_masked_run_is_sparsified_further(call, base: Path, tmp_path: Path) -> None:
    assert call("sparsify", base, "--sparsity", "0.5", "--keep-mask", "-o", "kept", *CPU, "-q").code == 0
    for keep, out in (((), "baked"), (("--keep-mask",), "held")):
        assert call("sparsify", "kept", "--sparsity", "0.3", *keep, "-o", out, *CPU, "-q").code == 0
    dense, baked, held = (nv.store.load(path) for path in (base, tmp_path / "baked", tmp_path / "held"))
    x = nv.data.load("digits").batch(range(8)).x
    assert torch.equal(baked.net(x), held.net(x))
    rows = {row[0]: row[1:] for row in baked.evidence["sparsified"].rows}  # type: ignore[attr-defined]
    assert rows["sparsity"] == (0.5, 0.5)
    assert (baked.metrics["sparsity"], held.metrics["sparsity"]) == (0.5, 0.5)
    back = Mask.load(tmp_path / "held" / "mask.json").remove(held.net).state_dict()
    assert all(torch.equal(value, back[name]) for name, value in dense.net.state_dict().items())


def test_saving_a_mask_replaces_nothing_and_keeps_its_name(call, base: Path, tmp_path: Path) -> None:
    weights = tmp_path / "lenet.safetensors"
    weights.write_bytes(b"somebody's weights")
    said = call("sparsify", base, "--dry-run", "--save-mask", "lenet", *CPU)
    assert said.code == 2
    assert "lenet.safetensors exists" in said.err
    assert weights.read_bytes() == b"somebody's weights"
    assert call("sparsify", base, "--dry-run", "--save-mask", "half-0.5", *CPU).code == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "lenet.safetensors", "half-0.5.json", "half-0.5.safetensors",
    }  # fmt: skip


def test_compact_gives_the_same_from_smaller_shapes(call, base: Path, tmp_path: Path) -> None:
    how = ("sparsify", base, "--criterion", "magnitude", "--sparsity", "0.97", *CPU, "-q")
    assert call(*how, "-o", "zeros").code == 0
    found = json.loads(call(*how, "--compact", "-o", "small", "--json").out)
    zeros, small = (nv.store.load(tmp_path / name) for name in ("zeros", "small"))
    gone = sum(found["units"]["removable"].values())
    assert gone > 0
    assert f"{gone} unit" in found["says"]
    assert small.metrics["parameters"] < zeros.metrics["parameters"]
    x = nv.data.load("digits").batch(range(8)).x
    assert torch.allclose(small.net(x), zeros.net(x), atol=1e-5)


def test_dry_run_and_options(call, base: Path, tmp_path: Path) -> None:
    def rows(*options: object) -> dict[str, int]:
        said = call("sparsify", base, "--dry-run", "--json", *CPU, *options)
        assert said.code == 0, said.err
        return {row["layer"]: row["kept"] for row in json.loads(said.out)["layers"]}

    assert rows("--sparsity", "classifier.0=0.25") == {"classifier.0": 1536, "classifier.2": 320}
    assert rows("--pattern", "2:4", "--criterion", "magnitude") == {"classifier.0": 1024, "classifier.2": 160}
    assert rows("--exclude", "classifier.2", "--criterion", "random", "--seed", 3) == {"classifier.0": 1024}
    assert rows("--layers", "classifier.2", "--set", "initial=identity") == {"classifier.2": 160}
    together = rows("--ranking", "global", "--criterion", "magnitude", "--sparsity", "0.5")
    assert sum(together.values()) == (2048 + 320) // 2
    assert rows("--criterion", "wanda", "--samples", 50, "--order", "output-to-input") == {
        "classifier.0": 1024, "classifier.2": 160,
    }  # fmt: skip
    assert "classifier.0" in call("sparsify", base, "--dry-run", *CPU).out
    assert not list(tmp_path.iterdir())


def test_edges_are_judged_where_it_was_said(call, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        sys.modules["nervure.sparsify.plan"], "pick_device", lambda name: asked.append(name) or torch.device("cpu")
    )
    assert call("sparsify", base, "--dry-run", *CPU).code == 0
    assert asked == ["cpu"]


def test_times_say_where_sparse_kernels_pay(call, base: Path, tmp_path: Path) -> None:
    said = call("sparsify", base, "--sparsity", "0.9", "--times", "-o", "thin", *CPU, "-q")
    assert "As measured on this machine sparse kernels are faster in" in said.out
    assert "verdict" in nv.store.load(tmp_path / "thin").evidence["times"].columns  # type: ignore[attr-defined]


def test_list_names_line_and_source(call) -> None:
    rows = json.loads(call("sparsify", "--list", "--json").out)
    assert {row["criterion"] for row in rows} == set(nv.sparsify.criteria.names())
    assert all(row["line"] and row["source"] for row in rows)
    assert "isparse" in call("sparsify", "--list").out
    found = complete.rows("sparsify/criteria/__init__.py", "edge criterion")
    assert {name for name, _ in found("")} == set(nv.sparsify.criteria.names())


class TestTraining:
    how = ("--train", "--epochs", 2, "--batch", 64, *CPU, "-q")

    def test_masks_of_the_last_epoch_are_kept(self, call, base: Path, tmp_path: Path) -> None:
        how = ("sparsify", base, "--criterion", "magnitude", "--sparsity", "0.75", "-o", "t", *self.how)
        said = call(*how)
        assert said.code == 0, said.err
        run, mask = nv.store.load(tmp_path / "t"), Mask.load(tmp_path / "t" / "mask.json")
        assert [action.name for action in run.lineage] == ["train", "train", "sparsify"]
        assert run.metrics["sparsity"] == mask.sparsity == pytest.approx(0.75)
        assert [row["sparsity"] for row in run.history] == [0, pytest.approx(0.75)]
        assert "sparse-training" in run.evidence
        again = call(
            "sparsify", base, "--criterion", "magnitude", "--sparsity", "0.75", "-o", "t", "--resume", *self.how
        )
        assert again.code == 0 and "Which edges stay" in again.out
        shown = json.loads(call(*how, "--resume", "--json").out)
        assert (shown["run"], shown["sparsity"]) == ("t", mask.sparsity)
        assert shown["metrics"]["accuracy"]["after"] == run.metrics["accuracy"]
        other = (
            "sparsify", base, "--criterion", "magnitude", "--sparsity", "0.3", "-o", "t", "--resume", "--lr", 0.5,
            *self.how,
        )  # fmt: skip
        said = call(*other)
        assert (said.code, said.out) == (2, "")
        assert "lr: 0.001 is not 0.5" in said.err
        assert "sparsity: 0.75 is not 0.3" in said.err

    def test_the_page_tells_of_the_network_that_was_trained(self, call, base: Path, tmp_path: Path) -> None:
        how = ("sparsify", base, "--criterion", "magnitude", "-o", "t", "--exclude", "classifier.2", *self.how)
        assert call(*how).code == 0
        run, mask = nv.store.load(tmp_path / "t"), Mask.load(tmp_path / "t" / "mask.json")
        assert {row.layer: row.asked for row in mask.rows} == {"classifier.0": 0.5}
        middle = run.evidence["weights"].y[0].max()  # type: ignore[attr-defined]
        assert middle >= 0.5
        assert len(run.evidence["masks"].pictures) == 1  # type: ignore[attr-defined]
        assert "agreement" not in run.evidence

    def test_a_run_with_kept_masks_is_trained_on(self, call, base: Path, tmp_path: Path) -> None:
        assert call("sparsify", base, "--sparsity", "0.5", "--keep-mask", "-o", "kept", *CPU, "-q").code == 0
        said = call("sparsify", "kept", "--criterion", "magnitude", "--sparsity", "0.75", "-o", "t", *self.how)
        assert said.code == 0, said.err
        rows = {row[0]: row[1:] for row in nv.store.load(tmp_path / "t").evidence["sparsified"].rows}  # type: ignore[attr-defined]
        assert rows["sparsity"] == pytest.approx((0.5, 0.75))

    @pytest.mark.parametrize(("name", "sparsity"), [("dropout", 0.0), ("lottery", 0.5)])
    def test_methods_of_their_own(self, call, base: Path, tmp_path: Path, name: str, sparsity: float) -> None:
        said = call("sparsify", base, "--criterion", name, "--sparsity", "0.5", "-o", name, "--json", *self.how)
        assert json.loads(said.out)["sparsity"] == pytest.approx(sparsity)


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "groups"
    model = nv.cluster.DCAEKMeans(
        12, network="autoencoder", network_options={"widths": [32]}, epochs=3, device="cpu", random_state=0
    )
    model.fit_run(nv.data.load("digits"), out=out)
    return out


class TestClusterer:
    """A clusterer is to stay true to its own clusters, whatever labels the data has."""

    def test_it_is_trained_towards_the_clusters_that_it_found(self, call, groups: Path, tmp_path: Path) -> None:
        how = ("--sparsity", "0.5", "--train", "--epochs", 4, "--batch", 32, *CPU, "-q")
        said = call("sparsify", groups, "--criterion", "wanda", "-o", "thin", *how)
        assert said.code == 0, said.err
        whole, thin = (nv.store.load(path) for path in (groups, tmp_path / "thin"))
        ds = nv.data.load("digits")
        one, two = (
            nv.train.predict(run, ds, ds.indices("test"), device="cpu").argmax(1).tolist() for run in (whole, thin)
        )
        assert sum(a == b for a, b in zip(one, two, strict=True)) > 0.8 * len(one)
        assert (thin.task, thin.names, thin.fingerprint) == ("clustering", whole.names, ds.fingerprint)
        # Its decoder, which a clusterer does not call, is whole, and named.
        rows = {row.layer: row for row in Mask.load(tmp_path / "thin" / "mask.json").rows}
        assert {name: row.asked for name, row in rows.items()} == {"encoder.1": 0.5, "encoder.4": 0.5}
        assert all(row.sparsity == pytest.approx(0.5, abs=0.01) for row in rows.values())
        assert "Not judged, and whole: decoder.0, decoder.3." in said.out

    @pytest.mark.parametrize("given", [(), ("--mask", "half.json")])
    def test_scores_of_its_outputs_are_those_of_clusters(self, call, groups: Path, tmp_path: Path, given) -> None:
        if given:
            assert call("sparsify", groups, "--save-mask", "half", "--dry-run", *CPU, "-q").code == 0
        assert call("sparsify", groups, "-o", "thin", *given, *CPU, "-q").code == 0
        found = nv.store.load(tmp_path / "thin").evidence["initial"]
        assert tuple(found.bars) == tuple(f"cluster {at}" for at in range(12))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--sparsity", "1.5"), "sparsity = 1.5"),
        (("--sparsity", "half"), "--sparsity 'half'"),
        (("--sparsity", "0.5", "--sparsity", "classifier.0=0.5"), "LAYER=SHARE for each"),
        (("--sparsity", "classifier.9=0.5"), "classifier.9"),
        (("--sparsity", "1"), "give --allow-empty"),
        (("--pattern", "half"), "write it as N:M"),
        (("--pattern", "2:4", "--sparsity", "0.9"), "leave sparsity out"),
        (("--criterion", "isparce"), "isparse"),
        (("--criterion", "l1"), "give --train"),
        (("--exclude", "conv"), "unknown layer 'conv'"),
        (("--ranking", "all"), "ranking = 'all'"),
        (("--order", "up"), "order = 'up'"),
        (("--set", "initial=best"), "initial = 'best'"),
        (("--set", "colour=red"), "no setting 'colour'"),
        (("--epochs", "3"), "--epochs is of training"),
        (("--resume",), "--resume is of training"),
        (("--mask", "none.json"), "none.json"),
        (("--mask", "none.json", "--criterion", "snip"), "leave out --criterion"),
        (("--mask", "none.json", "--ranking", "global"), "leave out --ranking"),
        (("--mask", "none.json", "--order", "random"), "leave out --order"),
        (("--mask", "none.json", "--samples", "9"), "leave out --samples"),
        (("--mask", "none.json", "--allow-empty"), "leave out --allow-empty"),
        (("--set", "alpha=abc"), "alpha = 'abc'; give a valid number"),
        (("--set", "probe=x"), "probe = 'x'; give a valid integer"),
        (("--set", "rules=x"), "rules = 'x'; give a valid"),
        (("--set", "softmax=maybe"), "softmax = 'maybe'; give a valid boolean"),
        (("--set", "samples=3"), "no setting 'samples'"),
        (("--criterion", "random", "--set", "seed=3"), "give --seed"),
        (("--train", "--dry-run"), "leave out --dry-run"),
    ],
)
def test_faults_are_one_line_and_write_nothing(
    call, base: Path, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    said = call("sparsify", base, "-o", "thin", *CPU, *options)
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1), said.err
    assert words in said.err
    assert not list(tmp_path.iterdir())


def test_what_is_missing_is_said(call, base: Path) -> None:
    assert "say which run" in call("sparsify").err
    assert "--dry-run" in call("sparsify", base).err
    assert sparsify.command.__doc__
