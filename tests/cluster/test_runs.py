from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import nervure as nv
from nervure.cluster import runs
from nervure.cluster.estimator import DeepClusterer
from nervure.cluster.parameters import parameters
from nervure.errors import InputError
from nervure.nets.autoencoder import AutoEncoder


@pytest.fixture(scope="module")
def x() -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(at, 0.4, size=(30, 4)) for at in (-2, 0, 2)])


@pytest.fixture(scope="module", params=["dcae-kmeans", "dcae-gmm", "neural-mixture"])
def model(request: pytest.FixtureRequest, x: NDArray[np.float64]) -> DeepClusterer:
    options = {} if request.param == "neural-mixture" else {"network_options": {"widths": [8]}}
    kind = nv.cluster.clusterers.get(request.param)
    return kind(3, epochs=4, random_state=0, **options).fit(x)


class TestLoad:
    def test_gives_the_same_estimator(self, model: DeepClusterer, x: NDArray[np.float64], tmp_path: Path) -> None:
        again = nv.cluster.load(nv.cluster.save(tmp_path / "run", model))
        assert type(again) is type(model)
        assert parameters(again) == parameters(model)
        assert (again.predict(x) == model.labels_).all()
        assert (again.predict_proba(x) == model.predict_proba(x)).all()
        assert (again.transform(x) == model.transform(x)).all()
        assert again.score(x) == pytest.approx(model.score(x), rel=1e-6)

    def test_takes_a_run_too(self, model: DeepClusterer, x: NDArray[np.float64]) -> None:
        assert (nv.cluster.load(model.run_).predict(x) == model.labels_).all()

    def test_knows_the_columns_of_a_data_frame(self, x: NDArray[np.float64], tmp_path: Path) -> None:
        pandas = pytest.importorskip("pandas")
        frame = pandas.DataFrame(x, columns=list("abcd"))
        model = nv.cluster.DCAEKMeans(3, epochs=1, network_options={"widths": [8]}, random_state=0).fit(frame)
        again = nv.cluster.load(nv.cluster.save(tmp_path / "run", model))
        assert again.feature_names_in_.tolist() == list("abcd")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert (again.predict(frame) == model.labels_).all()
        with pytest.raises(ValueError, match="feature names should match"):
            again.predict(frame[list("dcba")])
        model.fit(nv.data.from_arrays(x, validation=0, test=0))
        assert not hasattr(nv.cluster.load(model.run_), "feature_names_in_")

    def test_makes_the_same_again_by_what_the_run_says(self, x: NDArray[np.float64], tmp_path: Path) -> None:
        made = nv.cluster.DCAEKMeans(3, epochs=2, network_options={"widths": [8]}, random_state=None).fit(x)
        again = nv.cluster.load(nv.cluster.save(tmp_path / "run", made)).fit(x)
        assert (again.labels_ == made.labels_).all()

    def test_in_a_new_process(self, x: NDArray[np.float64], tmp_path: Path) -> None:
        made = nv.cluster.DCAEKMeans(3, epochs=1, network_options={"widths": [8]}, random_state=0).fit(x)
        nv.cluster.save(tmp_path / "run", made)
        np.save(tmp_path / "x.npy", x)
        code = "import nervure as nv, numpy as np; print(nv.cluster.load('run').predict(np.load('x.npy')).tolist())"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
        assert json.loads(done.stdout) == made.labels_.tolist()

    def test_refuses_what_is_no_clusterer(self, tmp_path: Path) -> None:
        net = nv.nets.build("mlp", in_shape=(4,), classes=2, widths=[4])
        with pytest.raises(InputError, match="holds no clusterer"):
            nv.cluster.load(nv.store.save(tmp_path / "run", net))

    def test_of_a_network_of_ones_own_needs_it_again(self, x: NDArray[np.float64], tmp_path: Path) -> None:
        own = AutoEncoder(nn.Linear(4, 3), nn.Linear(3, 4))
        made = nv.cluster.DCAEKMeans(3, network=own, epochs=1, random_state=0).fit(x)
        path = nv.cluster.save(tmp_path / "run", made)
        with pytest.raises(InputError, match="which is not run unasked; give build=, a function called as"):
            nv.cluster.load(path)
        again = nv.cluster.load(path, build=lambda shape, classes: AutoEncoder(nn.Linear(4, 3), nn.Linear(3, 4)))
        assert (again.predict(x) == made.labels_).all()
        assert again.network is None

    def test_of_a_function_that_takes_no_size_of_latents(self, x: NDArray[np.float64], tmp_path: Path) -> None:
        made = nv.cluster.DCAEGMM(3, network=f"{__name__}:bare", epochs=1, random_state=0).fit(x)
        assert made.transform(x).shape == (90, 5)
        again = nv.cluster.load(nv.cluster.save(tmp_path / "run", made), build=bare)
        assert (again.predict(x) == made.labels_).all()
        with pytest.raises(InputError, match="has no setting 'latent'"):
            nv.cluster.DCAEGMM(3, network=f"{__name__}:bare", latent=4, epochs=1).fit(x)

    def test_of_a_network_without_a_decoder(self, x: NDArray[np.float64]) -> None:
        with pytest.raises(InputError, match="dcae-gmm reconstructs samples, and this network has no decoder"):
            nv.cluster.DCAEGMM(3, network=nn.Linear(4, 3), epochs=1).fit(x)

    def test_of_a_network_that_is_no_auto_encoder(self, x: NDArray[np.float64]) -> None:
        wanted = r"needs an auto-encoder, and mlp is none; take one of .*conv-autoencoder.* or another method: neural-m"
        with pytest.raises(InputError, match=wanted):
            nv.cluster.DCAEGMM(3, network="mlp", epochs=1).fit(x)


def bare(in_shape: tuple[int, ...], clusters: int) -> nn.Module:
    return AutoEncoder(nn.Linear(in_shape[0], 5), nn.Linear(5, in_shape[0]))


class TestByItsClusters:
    def test_labels_by_clusters_and_cuts_what_splits_lack(self, model: DeepClusterer, x: NDArray[np.float64]) -> None:
        ds = nv.data.from_arrays(x, validation=0, test=0)
        found = runs.by_its_clusters(model.run_, ds, device="cpu")
        assert (found.y == model.labels_).all()
        assert found.names == model.run_.names
        assert [len(found.splits[name]) for name in ("train", "validation", "test")] == [63, 9, 18]
        uncut = nv.train.evaluate(model.run_, found, device="cpu")
        assert uncut.metrics["accuracy"] == 1.0
        assert "acc" not in uncut.metrics

    def test_measures_agreement_without_matching(self, model: DeepClusterer, x: NDArray[np.float64]) -> None:
        ds = runs.by_its_clusters(model.run_, nv.data.from_arrays(x, validation=0, test=0), device="cpu")
        turned = np.array([1, 2, 0])[ds.y]
        import dataclasses

        other = dataclasses.replace(ds, y=turned)
        assert nv.train.evaluate(model.run_, other, device="cpu").metrics["accuracy"] == 0.0

    def test_a_cut_clusterer_saves_loads_and_exports(
        self, model: DeepClusterer, x: NDArray[np.float64], tmp_path: Path
    ) -> None:
        run = model.run_
        ds = runs.by_its_clusters(run, nv.data.from_arrays(x, validation=0, test=0), device="cpu")
        plan = nv.prune.plan(run.net, ds, "l1", nv.prune.Target(keep=0.5))
        small = nv.prune.recover(
            plan.apply(run.net), run.net, ds, method=["kernel-estimation", "batch-norm"], kept=plan
        )
        assert nv.nets.count(small, (4,)).macs < nv.nets.count(run.net, (4,)).macs
        again = nv.store.load(nv.store.save(tmp_path / "small", nv.store.Run.of(small, ds, run.lineage)))
        assert [step.kind for step in again.origin.steps] == ["cluster", "resize"]
        assert (nv.cluster.load(again).predict(x) == nv.train.predict(small, ds, device="cpu").argmax(1)).all()


class TestDeployable:
    def test_leaves_training_out_and_gives_the_same(self, model: DeepClusterer, x: NDArray[np.float64]) -> None:
        net = model.net_
        made = net.deployable()
        assert made.decoder is None
        assert (net.decoder is None) == (model.run_.lineage[0].settings["method"] == "neural-mixture")
        floating = {one.dtype for one in made.state_dict().values() if one.is_floating_point()}
        assert floating == {torch.float32}
        sample = torch.from_numpy(x).float()
        assert torch.allclose(made.eval()(sample), net(sample), atol=1e-5)

    def test_is_exported_with_names_and_probabilities(
        self, model: DeepClusterer, x: NDArray[np.float64], tmp_path: Path
    ) -> None:
        run = model.run_
        done = nv.export.write(
            run.net, tmp_path / "m.onnx", "onnx", samples=torch.from_numpy(x), preprocessing=run.preprocessing,
            names=run.names, task=run.task,
        )  # fmt: skip
        assert nv.export.metadata(done.path)["names"] == ["cluster 0", "cluster 1", "cluster 2"]
        onnxruntime = pytest.importorskip("onnxruntime")
        session = onnxruntime.InferenceSession(str(done.path))
        assert [one.name for one in session.get_outputs()] == ["logits", "probabilities"]
        (soft,) = session.run(["probabilities"], {"x": x.astype(np.float32)})
        assert np.abs(soft - model.predict_proba(x)).max() < 1e-4
        names = {one.name for one in pytest.importorskip("onnx").load(str(done.path)).graph.initializer}
        assert not any("decoder" in name for name in names)


@pytest.mark.parametrize("name", nv.cluster.clusterers.names())
def test_every_method_is_kept_loaded_and_cut(name: str, x: NDArray[np.float64], tmp_path: Path) -> None:
    model = nv.cluster.clusterers.get(name)(3, profile="quick", epochs=2, batch_size=30, random_state=0).fit(x)
    again = nv.cluster.load(nv.cluster.save(tmp_path / "run", model))
    assert (again.predict(x) == model.labels_).all()
    ds = runs.by_its_clusters(model.run_, nv.data.from_arrays(x, validation=0, test=0), device="cpu")
    plan = nv.prune.plan(model.net_, ds, "l1", nv.prune.Target(keep=0.6))
    small = nv.store.load(nv.store.save(tmp_path / "small", nv.store.Run.of(plan.apply(model.net_), ds)))
    assert nv.nets.count(small.net, (4,)).macs == plan.macs_after < plan.macs_before
    assert 0 <= nv.train.evaluate(small, ds, device="cpu").metrics["accuracy"] <= 1


def test_processes_of_a_fit_without_a_seed_share_one(
    x: NDArray[np.float64], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds, handed = nv.data.from_arrays(x, validation=0, test=0), []

    def start(target: str, arguments: dict[str, Any], **options: object) -> None:
        handed.append(arguments["parameters"]["random_state"])
        nv.cluster.DCAEKMeans(3, epochs=1, network_options={"widths": [8]}).fit_run(ds, out=arguments["out"])

    monkeypatch.setattr("nervure.train.launch.start", start)
    for state in (None, np.random.RandomState(0)):
        model = nv.cluster.DCAEKMeans(3, random_state=state)
        runs.fit_together(model, ds, out=tmp_path / str(len(handed)), devices=2)
    assert all(isinstance(seed, int) for seed in handed)


def test_processes_go_on_with_the_seed_that_was_drawn(
    x: NDArray[np.float64], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds, handed = nv.data.from_arrays(x, validation=0, test=0), []

    def start(target: str, arguments: dict[str, Any], **options: object) -> None:
        handed.append(arguments["parameters"]["random_state"])

    monkeypatch.setattr("nervure.train.launch.start", start)
    model = nv.cluster.DCAEKMeans(3, epochs=1, network_options={"widths": [8]})
    begun = model.fit_run(ds, out=tmp_path / "run")
    runs.fit_together(model, ds, out=tmp_path / "run", devices=2, resume=True)
    runs.fit_together(nv.cluster.DCAEKMeans(3, random_state=5), ds, out=tmp_path / "run", devices=2, resume=True)
    assert handed == [begun.lineage[-1].seed, 5]


def test_a_run_that_is_adopted_has_its_own_columns(x: NDArray[np.float64]) -> None:
    small = {"epochs": 1, "network_options": {"widths": [8]}, "random_state": 0}
    run = nv.cluster.DCAEKMeans(3, **small).fit(x).run_
    model = nv.cluster.DCAEKMeans(3, **small).fit(x[:, :3])
    model.adopt(run)
    assert model.n_features_in_ == 4 and not hasattr(model, "labels_")
    assert model.predict(x).shape == (90,)


def test_links_that_cannot_be_kept_are_refused_before_processes_start(tmp_path: Path) -> None:
    ds = nv.data.load("digits", validation=0, test=0)
    links = {"cannot": [(0, 1), (1, 2), (0, 2)]}
    with pytest.raises(InputError, match="samples 0, 1, 2 cannot be together"):
        runs.fit_together(nv.cluster.DCAEKMeans(2), ds, links=links, out=tmp_path / "run", devices=2)
    assert not list(tmp_path.iterdir())
