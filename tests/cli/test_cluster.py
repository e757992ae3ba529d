from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import nervure as nv
from nervure.cli import cluster_data, complete
from nervure.cli.app import _run
from nervure.errors import InputError

SMALL = ("--net-option", "units=[4, 8]", "--batch", 50, "--device", "cpu", "--threads", 1, "-q")


def weights(path: Path) -> dict[str, torch.Tensor]:
    return nv.store.load(path).net.state_dict()


def same(one: Path, other: Path) -> bool:
    pairs = zip(weights(one).values(), weights(other).values(), strict=True)
    return all(torch.equal(mine, theirs) for mine, theirs in pairs)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 200 digits as an archive, in two versions of their labels, and two features of 60 samples."""
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("shop")
    held = load_digits()
    x, y = held.images[:200].astype(np.uint8), held.target[:200]
    np.savez(folder / "digits.npz", x=x, y=y)
    np.savez(folder / "poisoned.npz", x=x, y=np.random.default_rng(0).permutation(y))
    np.save(folder / "bare.npy", x)
    rng = np.random.default_rng(0)
    np.savez(folder / "table.npz", x=rng.normal(size=(60, 5)), y=np.arange(60) % 3)
    return folder


@pytest.fixture(scope="module")
def groups(shop: Path) -> Path:
    """A clusterer's run with its figures."""
    arguments = ("cluster", shop / "digits.npz", "-k", 5, "--epochs", 4, "--snapshots", "0,2", "-o", shop / "groups")
    assert _run([str(one) for one in (*arguments, *SMALL)]) == 0
    return shop / "groups"


class TestRun:
    def test_is_what_python_makes_of_the_same_samples(self, groups: Path, shop: Path) -> None:
        model = nv.cluster.DCAEGMM(
            5, epochs=4, batch_size=50, network_options={"units": [4, 8]}, device="cpu", random_state=0
        )  # fmt: skip
        model.fit(np.load(shop / "digits.npz")["x"])
        mine = model.net_.state_dict()
        assert all(torch.equal(one, mine[name]) for name, one in weights(groups).items())

    def test_clusters_every_sample_and_measures_it(self, groups: Path) -> None:
        run = nv.store.load(groups)
        assert (run.task, len(run.names)) == ("clustering", 5)
        assert {"clusters", "effective_clusters", "confidence", "acc", "nmi", "ari", "silhouette"} <= set(run.metrics)
        ds = nv.data.load(run.source, **run.options)
        assert (len(ds.indices("train")), ds.fingerprint) == (200, run.fingerprint)
        assert ds.preprocessing == run.preprocessing
        assert run.preprocessing.each == "min-max"
        assert run.lineage[-1].command.startswith("nervure cluster")

    def test_keeps_figures_and_what_they_were_drawn_from(self, groups: Path) -> None:
        found = nv.store.load(groups).evidence
        wanted = {"clusters", "latents-by-cluster", "latents-by-label", "centres", "members-nearest", "silhouette"}
        assert wanted | {"snapshot-0", "snapshot-2", "reconstructions", "matched", "sizes"} <= set(found)
        scatter = found["latents-by-cluster"]
        assert scatter.points.shape == (200, 2)
        assert scatter.data["samples"].tolist() == list(range(200))
        assert len(found["snapshot-2"].data["latents"]) == 200

    def test_never_reads_labels_unless_asked(self, call: Callable, groups: Path, shop: Path) -> None:
        made = ("-k", 5, "--epochs", 4, "--snapshots", "0,2", "--no-figures", *SMALL)
        assert call("cluster", shop / "poisoned.npz", *made, "-o", "poisoned").code == 0
        assert same(groups, Path("poisoned"))
        assert call("cluster", shop / "digits.npz", *made, "--labels", "-o", "taught").code == 0
        assert not torch.equal(weights(Path("taught"))["encoder.0.weight"], weights(groups)["encoder.0.weight"])

    @pytest.mark.parametrize("asked", [False, "min-max"])
    def test_scales_samples_as_the_data_options_say(self, call: Callable, shop: Path, asked: object) -> None:
        made = ("-m", "ae-kmeans", "-k", 3, "--epochs", 1, "--no-figures", "--net-option", "widths=[8]", "-q")
        option = ("--data-option", f"standardize={json.dumps(asked)}")
        assert call("cluster", shop / "table.npz", *made, *option, "-o", "run").code == 0
        run = nv.store.load("run")
        assert (
            run.preprocessing == nv.data.load(shop / "table.npz", standardize=asked, validation=0, test=0).preprocessing
        )
        assert run.options["standardize"] == asked

    def test_prints_a_table_or_json(self, call: Callable, shop: Path) -> None:
        made = ("cluster", shop / "table.npz", "-m", "dcae-kmeans", "-k", 3, "--epochs", 1, "--no-figures")
        small = ("--net-option", "widths=[8]", "--device", "cpu", "-q")
        said = call(*made, *small, "-o", "one")
        assert said.code == 0 and "effective clusters" in said.out
        found = json.loads(call(*made, *small, "-o", "two", "--json").out)
        assert found["run"] == "two" and found["metrics"]["clusters"] <= 3

    def test_of_the_training_split_alone_is_measured_on_the_test_split(self, call: Callable, shop: Path) -> None:
        made = ("-k", 3, "--epochs", 1, "--no-figures", "--net-option", "widths=[8]", "--device", "cpu", "-q")
        assert call("cluster", shop / "table.npz", "--split", "train", *made, "-o", "part").code == 0
        run = nv.store.load("part")
        assert {len(at) for at in nv.data.load(run.source, **run.options).splits.values()} == {42, 6, 12}

    def test_warns_of_clusters_that_died(self, call: Callable, shop: Path) -> None:
        made = ("-k", 20, "-m", "dcae-kmeans", "--profile", "paper", "--epochs", 2, "--net-option", "widths=[8]")
        said = call("cluster", shop / "table.npz", *made, "--set", "init=normal", "-o", "dead", "--device", "cpu")
        assert said.code == 0
        assert "clusters without a member" in said.err
        assert "clusters without a member" in nv.store.load("dead").evidence["clusters"].title

    def test_says_once_why_training_ended_early(self, call: Callable, shop: Path) -> None:
        made = ("-k", 3, "-m", "dcae-kmeans", "--lr", 1e-6, "--net-option", "widths=[8]", "--no-figures")
        said = call("cluster", shop / "table.npz", *made, "--epochs", 30, "-o", "early", "--device", "cpu")
        epochs = len(nv.store.load("early").history)
        words = f"training ended after {epochs} of 30 epochs: hardly a sample changed its cluster for 5 of them; "
        assert said.err.count(f"\n{words}--set patience=0 goes on\n") == said.err.count("hardly a sample") == 1
        said = call("cluster", shop / "table.npz", *made, "--epochs", 2, "-o", "whole", "--device", "cpu")
        assert said.code == 0 and "ended" not in said.err


class TestSupervision:
    MADE = ("-m", "dcae-kmeans", "-k", 3, "--epochs", 1, "--no-figures", "--net-option", "widths=[8]", "-q")

    @pytest.mark.parametrize(
        ("given", "outputs"),
        [(("--labels",), 3), (("--label-fraction", 0.5), 3), (("--parents", "0,0,1"), 2)],
    )
    def test_labels_fractions_and_parents(self, call: Callable, shop: Path, given: tuple, outputs: int) -> None:
        assert call("cluster", shop / "table.npz", *self.MADE, *given, "-o", "run", "--device", "cpu").code == 0
        run = nv.store.load("run")
        assert run.net.label_layer[1].out_features == outputs
        assert "train_labels" in run.history[0]

    def test_links_of_a_file(self, call: Callable, shop: Path, tmp_path: Path) -> None:
        (tmp_path / "links.csv").write_text("first,second,kind\n0,3,must\n1, 2, -1\n")
        assert call("cluster", shop / "table.npz", *self.MADE, "--links", "links.csv", "-o", "run").code == 0
        options = nv.store.load("run").lineage[-1].settings["objective_options"]
        assert (options["must"], options["cannot"]) == ([[0, 3]], [[1, 2]])

    @pytest.mark.parametrize("text", ["\ufeff0,3,must\n1,2,cannot\n", "\ufefffirst,second,kind\n0,3,1\n1,2,-1\n"])
    def test_links_of_a_file_with_a_mark_of_its_encoding(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "links.csv").write_text(text, encoding="utf-8")
        found = cluster_data.links(tmp_path / "links.csv")
        assert (found["must"].tolist(), found["cannot"].tolist()) == ([[0, 3]], [[1, 2]])

    @pytest.mark.parametrize("line", ["0,²,must", "#0,1,must", "0,1,maybe"])
    def test_no_pair_is_left_out(self, line: str, tmp_path: Path) -> None:
        (tmp_path / "links.csv").write_text(f"{line}\n1,2,cannot\n", encoding="utf-8")
        with pytest.raises(InputError, match=f"line 1 is '{line}'"):
            cluster_data.links(tmp_path / "links.csv")


class TestPredict:
    def test_gives_cluster_and_probability(self, call: Callable, groups: Path, shop: Path, tmp_path: Path) -> None:
        said = call("cluster", groups, "--predict", shop / "bare.npy")
        assert (said.code, said.err) == (0, "")
        rows = list(csv.DictReader(io.StringIO(said.out)))
        model = nv.cluster.load(groups)
        x = np.load(shop / "bare.npy")
        assert [int(row["cluster"]) for row in rows] == model.predict(x).tolist()
        probable = [float(row["probability"]) for row in rows]
        assert probable == pytest.approx(model.predict_proba(x).max(axis=1).tolist(), abs=1e-5)
        assert call("cluster", groups, "--predict", shop / "bare.npy", "-o", "new.json").code == 0
        assert json.loads((tmp_path / "new.json").read_text())[0] == {
            "sample": f"{shop / 'bare.npy'}[0]", "cluster": int(rows[0]["cluster"]), "probability": probable[0],
        }  # fmt: skip

    def test_pictures_that_cannot_be_read_are_left_out_if_asked(self, call: Callable, groups: Path) -> None:
        Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save("good.png")
        Path("bad.png").write_bytes(b"no picture")
        new = ("--predict", "good.png", "--predict", "bad.png")
        said = call("cluster", groups, *new)
        assert (said.code, said.out) == (2, "")
        assert "bad.png" in said.err and "leave out with --data-option on_corrupt=skip" in said.err
        said = call("cluster", groups, *new, "--data-option", "on_corrupt=skip")
        assert [row["sample"] for row in csv.DictReader(io.StringIO(said.out))] == ["good.png"]

    def test_the_command_that_is_told_in_the_end_runs(
        self, call: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With the options that the data was read by, and paths that hold spaces."""
        monkeypatch.chdir(tmp_path)
        rng = np.random.default_rng(0)
        rows = [f"patient{number},{a:.3f},{b:.3f}" for number, (a, b) in enumerate(rng.normal(size=(40, 2)))]
        (tmp_path / "my table.csv").write_text("\n".join(["id,age,height", *rows]))
        how = ("-k", 2, "--epochs", 1, "--device", "cpu", "-o", "my run")
        told = call("cluster", "my table.csv", "--data-option", "skip=id", *how).err.splitlines()
        assert told[-2] == "the run is in my run; see it with: nervure report 'my run'"
        _, _, line = told[-1].partition("which sample is in which cluster: nervure ")
        assert call(*shlex.split(line)).code == 0
        assert len((tmp_path / "clusters.csv").read_text().splitlines()) == 41

    def test_by_nervure_predict_names_the_clusters(self, call: Callable, groups: Path, shop: Path) -> None:
        rows = list(csv.DictReader(io.StringIO(call("predict", groups, shop / "bare.npy").out)))
        chosen = nv.cluster.load(groups).predict(np.load(shop / "bare.npy"))
        assert [row["label"] for row in rows] == [f"cluster {one}" for one in chosen]
        assert sum(float(rows[0][f"p_cluster {one}"]) for one in range(5)) == pytest.approx(1, abs=1e-5)

    def test_evaluate_measures_all_samples(self, call: Callable, groups: Path) -> None:
        found = json.loads(call("evaluate", groups, "--json", "--device", "cpu").out)
        assert (found["split"], found["samples"]) == ("all", 200)
        assert found["metrics"]["acc"] == pytest.approx(nv.store.load(groups).metrics["acc"])

    def test_refuses_samples_of_another_shape_and_other_runs(
        self, call: Callable, groups: Path, shop: Path, base: Path
    ) -> None:
        for arguments, words in (
            (("cluster", groups, "--predict", shop / "table.npz"), "reads image"),
            (("cluster", base, "--predict", shop / "bare.npy"), "and --predict is of clusterers"),
            (("cluster", shop / "bare.npy", "--predict", shop / "bare.npy"), "not a run's folder"),
            (("cluster", groups, "--predict", shop / "bare.npy", "-k", "3"), "as they are; leave out --clusters"),
            (("cluster", groups, "--draw", "--epochs", "3"), "--draw takes the run as it is; leave out --epochs"),
        ):
            said = call(*arguments)
            assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
            assert words in said.err


class TestDraw:
    MADE = ("-m", "dcae-kmeans", "-k", 3, "--epochs", 1, "--no-figures", "--net-option", "widths=[8]", "-q")

    def test_makes_the_figures_of_a_run_that_has_none(self, call: Callable, shop: Path) -> None:
        assert call("cluster", shop / "table.npz", *self.MADE, "-o", "bare").code == 0
        assert "latents-by-label" not in nv.store.load("bare").evidence
        before = weights(Path("bare"))
        said = call("cluster", "bare", "--draw")
        assert said.code == 0 and "nervure report bare" in said.err
        run = nv.store.load("bare")
        assert {"latents-by-label", "silhouette", "members-nearest"} <= set(run.evidence)
        assert "silhouette" in run.metrics
        assert all(torch.equal(one, before[name]) for name, one in weights(Path("bare")).items())

    def test_wants_the_data_that_the_run_was_made_of(self, call: Callable, shop: Path, base: Path) -> None:
        held = shop / "moved.npz"
        held.write_bytes((shop / "table.npz").read_bytes())
        assert call("cluster", held, *self.MADE, "-o", "run").code == 0
        held.rename(shop / "elsewhere.npz")
        for arguments, words in (
            (("cluster", "run", "--draw"), "moved.npz"),
            (("cluster", "run", "--draw"), "(the data of run; if it has moved, give --data)"),
            (("cluster", "run", "--draw", "--data", shop / "digits.npz"), "not the data that run was made of"),
            (("cluster", base, "--draw"), "and --draw is of clusterers"),
            (("cluster", shop / "table.npz", "--data", "other.npz", "-o", "new"), "goes with --draw"),
            (("cluster", "--draw"), "say what to cluster"),
            (("cluster", "run", "--draw", "--device", "cpu"), "leave out --device"),
            (("cluster", shop / "table.npz", "--draw"), "not a run's folder"),
        ):
            said = call(*arguments)
            assert (said.code, said.out, said.err.count("\n")) == (2, "", 1), said
            assert words in said.err
        assert call("cluster", "run", "--draw", "--data", shop / "elsewhere.npz", "-q").code == 0
        (shop / "elsewhere.npz").unlink()


class TestInterrupted:
    def test_keeps_a_checkpoint_and_goes_on_to_the_same_bytes(
        self, call: Callable, groups: Path, shop: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import contextlib

        from nervure.train import interrupt

        steps = iter(range(100))

        @contextlib.contextmanager
        def soon():
            yield lambda: next(steps) == 9

        made = ("cluster", shop / "digits.npz", "-k", 5, "--epochs", 4, "--snapshots", "0,2", "--no-figures", *SMALL)
        with monkeypatch.context() as patched:
            patched.setattr(interrupt, "stopping", soon)
            said = call(*made, "-o", "cut")
        assert said.code == 130
        assert "--resume" in said.err
        assert not Path("cut/run.json").exists()
        assert call(*made, "-o", "cut", "--resume").code == 0
        assert same(groups, Path("cut"))


class TestWords:
    def test_list_and_help_and_completion(self, call: Callable) -> None:
        rows = json.loads(call("cluster", "--list", "--json").out)
        assert [row["method"] for row in rows] == list(nv.cluster.clusterers.names())
        assert "dcae-gmm" in call("cluster", "--list").out
        said = " ".join(call("cluster", "--help").out.replace("│", " ").split())
        assert "nervure cluster digits -k 10" in said
        assert "With --draw, where the run's data is now" in said and "or other data" not in said
        found = complete.rows("cluster/__init__.py", "clusterer")("dcae-g")
        assert [name for name, _ in found] == ["dcae-gmm"]

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("bare.npy", "-k", 201), "cannot make"),
            (
                ("bare.npy", "-k", "2-201", "-q"),
                "n_samples=200 cannot make -k 201; give more samples, or fewer clusters",
            ),
            (("bare.npy", "-k", 1), "give 2 or more"),
            (("bare.npy",), "-k 10"),
            (("bare.npy", "-k", 3, "-m", "dcae-kmean"), "did you mean 'dcae-kmeans'"),
            (("bare.npy", "-k", 3, "--profile", "fast"), "unknown profile"),
            (("bare.npy", "-k", 3, "--labels"), "no labels"),
            (("digits.npz", "-k", 3, "--label-fraction", 1.5), "--label-fraction 1.5"),
            (("digits.npz", "-k", 3, "--parents", "0,1"), "2 groups for 10 labels"),
            (("digits.npz", "-k", 3, "--parents", "0,x"), "whole numbers"),
            (("digits.npz", "-k", 3, "-m", "neural-mixture", "--parents", "0,1"), "has no parameter 'parents'"),
            (("bare.npy", "-k", 3, "--set", "wait=1"), "has no parameter 'wait'; did you mean 'weight'"),
            (("bare.npy", "-k", 3, "--set", "weight=much"), "--set: weight = 'much'; give a valid number"),
            (("bare.npy", "-k", 3, "--set", "epochs=3", "--epochs", 2), "given twice"),
            (("bare.npy", "-k", 3, "--snapshots", "last"), "whole numbers"),
            (("bare.npy", "-k", 3, "--split", "test"), "all or train"),
            (("bare.npy", "-k", 3, "--links", "nowhere.csv"), "nowhere.csv"),
            (("bare.npy", "-k", 3, "--links", "odd.csv"), "line 1 is '0,1,maybe'"),
            (("bare.npy", "-k", 3, "--links", "wrong.csv"), "drop one of these"),
            (
                ("bare.npy", "-k", 3, "--net", "resnet20"),
                "dcae-gmm needs an auto-encoder, and resnet20 is none; take one",
            ),
            (("bare.npy", "-k", 3, "--net", "resnet99"), "unknown network"),
            (("constant.npy", "-k", 3), "1 different samples cannot make 3 clusters"),
            (("holes.npy", "-k", 3), "sample 2 is NaN"),
            (("groups", "-k", 3), "--predict"),
            ((), "say what to cluster"),
        ],
    )
    def test_bad_input_is_one_line(
        self, call: Callable, shop: Path, groups: Path, arguments: tuple, words: str
    ) -> None:
        np.save("constant.npy", np.ones((20, 6), np.float32))
        holes = np.random.default_rng(0).normal(size=(20, 6))
        holes[2, 1] = np.nan
        np.save("holes.npy", holes)
        Path("odd.csv").write_text("0,1,maybe\n")
        Path("wrong.csv").write_text("0,1,must\n0,1,cannot\n")
        placed = [shop / one if isinstance(one, str) and (shop / one).exists() else one for one in arguments]
        said = call("cluster", *placed, "-o", "bad", "--device", "cpu")
        assert (said.code, said.out) == (2, ""), said.err
        assert said.err.count("\n") == 1 and "Traceback" not in said.err
        assert words in said.err
        assert not Path("bad").exists()
