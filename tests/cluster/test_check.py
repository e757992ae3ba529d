from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor, nn

from nervure import cluster
from nervure.cluster.heads.centres import CentresHead
from nervure.cluster.method import begin
from nervure.data import from_arrays
from nervure.errors import InputError

X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
WAVES = np.random.default_rng(0).normal(size=(40, 2, 16)).astype(np.float32)
TINY: dict[str, Any] = {"epochs": 1, "random_state": 0, "device": "cpu"}


class Plain(nn.Module):
    """An auto-encoder that does not say how large its latents are."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(4, 3), nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.decoder(self.encoder(x))
        return out


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"latent": 0}, "latent = 0"),
        ({"weight": -1.0}, "weight = -1.0"),
        ({"weight": float("nan")}, "weight = nan"),
        ({"activity": (1.0,)}, "three weights"),
        ({"distance": "dtw"}, "choose one of"),
        ({"distance": "soft-dtw"}, "is for series"),
        ({"scaling": "none"}, "unknown standardize 'none'"),
        ({"activity": 0.1}, "activity = 0.1; give a list"),
        ({"snapshots": 2}, "snapshots = 2"),
        ({"snapshots": [0, 7]}, "epoch 7 of"),
        ({"snapshots": [-1]}, "epoch -1 of"),
        ({"network": "blueprint.json"}, "needs an auto-encoder, and blueprint.json is none"),
        ({"latent": "3"}, "latent = '3'; give a valid integer"),
        ({"parents": "001"}, "parents = '001'"),
        ({"parents": [0, 0, 1]}, "they group labels, and none are given"),
        ({"recipe": {"lr": 0.1}}, "'lr' has a parameter of its own; give lr="),
        ({"recipe": {"batch": 3}}, "give batch_size="),
        ({"recipe": {"keep": "best"}}, "keeps the last epoch"),
        ({"n_init": 0}, "n_init = 0"),
        ({"network": Plain(), "network_options": {"widths": [8]}}, "the network is a module as it stands"),
        ({"network": Plain(), "latent": 7}, "latents of the network given have 3 values"),
        ({"network_options": {"latent": 5}}, "give latent="),
    ],
)
def test_parameters_that_make_no_sense(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        cluster.DCAEKMeans(2, **{**TINY, **given}).fit(X)


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    given = {"lr": np.float32(0.01), "batch_size": np.int64(16), "latent": np.int32(3), "snapshots": np.array([0])}
    plain = {"lr": float(np.float32(0.01)), "batch_size": 16, "latent": 3, "snapshots": [0]}
    found = cluster.DCAEGMM(np.int64(2), **TINY, **given, floor=np.float32(0.5)).fit(X)
    assert (found.transform(X) == cluster.DCAEGMM(2, **TINY, **plain, floor=0.5).fit(X).transform(X)).all()
    assert cluster.load(cluster.save(tmp_path / "run", found)).n_clusters == 2


def test_transform_gives_a_frame_where_one_is_asked_for() -> None:
    pandas = pytest.importorskip("pandas")
    given = pandas.DataFrame(X, columns=list("abcd"), index=range(100, 140))
    model = cluster.DCAEGMM(2, latent=3, **TINY).set_output(transform="pandas").fit(given)
    found = model.transform(given)
    assert list(found.columns) == list(model.get_feature_names_out()) == ["dcaegmm0", "dcaegmm1", "dcaegmm2"]
    assert list(found.index) == list(given.index)


def test_more_groups_than_samples() -> None:
    with pytest.raises(InputError, match="groups = 41: more than the 40 samples"):
        cluster.DeepCluster(2, groups=41, **TINY).fit(X)
    with pytest.raises(InputError, match="components = 0"):
        cluster.DeepCluster(2, components=0, **TINY).fit(X)


def test_terms_that_all_weigh_nothing() -> None:
    with pytest.raises(InputError, match="nothing is minimised"):
        cluster.DEC(2, **{**TINY, "epochs": 2, "warmup": 1, "weight": 0.0}).fit(X)


def test_what_a_method_lacks() -> None:
    with pytest.raises(InputError, match="iic reconstructs nothing"):
        cluster.IIC(2, distance="soft-dtw", **TINY).fit(WAVES)
    with pytest.raises(InputError, match="give copies="):
        cluster.IIC(2, recipe={"copies": {}}, **TINY).fit(X)


@pytest.mark.parametrize(
    ("clusters", "links", "words"),
    [
        (1, {"cannot": [(3, 5)]}, "samples 3, 5 cannot be together, but there are n_clusters=1"),
        (2, {"cannot": [(0, 1), (1, 2), (0, 2)]}, "samples 0, 1, 2 cannot"),
        (2, {"must": [(2, 7)], "cannot": [(0, 1), (1, 2), (0, 7)]}, "samples 0, 1, 2 cannot"),
    ],
)
def test_links_that_so_few_clusters_cannot_keep(clusters: int, links: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        cluster.DCAEKMeans(clusters, **TINY).fit(X, links=links)


def test_links_of_samples_that_training_does_not_see() -> None:
    ds = from_arrays(X, splits={"train": np.arange(30), "test": np.arange(30, 40)}, validation=0, test=0)
    for pair in ((3, 33), (35, 36)):
        with pytest.raises(InputError, match=f"links: sample {max(30, pair[0]) if pair[0] > 30 else 33} is held out"):
            cluster.DCAEKMeans(2, **TINY).fit(ds, links={"must": [pair]})


def test_padding_is_not_read_as_data() -> None:
    padded = WAVES.copy()
    padded[3, :, 10:] = np.nan
    whole = cluster.DCAEKMeans(2, **TINY).fit(WAVES)
    with pytest.raises(InputError, match="read their padding as data"):
        whole.predict(padded)
    with pytest.raises(InputError, match="read their padding as data"):
        cluster.DCAEKMeans(2, network="conv-autoencoder", **TINY).fit(padded)
    assert cluster.DCAEKMeans(2, **TINY).fit(padded).predict(WAVES).shape == (40,)


def test_the_latent_size_of_a_module_is_found() -> None:
    assert cluster.DCAEKMeans(2, network=Plain(), **TINY).fit(X).transform(X).shape == (40, 3)


def test_scaling_can_be_none() -> None:
    model = cluster.DCAEKMeans(2, scaling=False, **TINY).fit(X)
    assert model.run_.preprocessing.mean == ()


def test_a_large_offset_hides_no_groups() -> None:
    x = np.concatenate([np.random.default_rng(0).normal(at, 0.3, size=(50, 3)) for at in (0, 5)]) + 1e9
    model = cluster.AEKMeans(2, epochs=5, random_state=0).fit(x)
    assert sorted(np.bincount(model.labels_).tolist()) == [50, 50]


@pytest.mark.parametrize("kind", [cluster.AEKMeans, cluster.AEGMM, cluster.DCAEKMeans, cluster.DCAEGMM])
def test_the_papers_profile_is_the_papers_network(kind: type) -> None:
    """1,882,123 parameters for pictures of 28 pixels (spec deepcluster, 9)."""
    ds = from_arrays(np.random.default_rng(0).random((20, 1, 28, 28), np.float32), validation=0, test=0)
    found, method = kind(10, profile="paper", random_state=0).prepared(ds)
    net = begin(method, 10, found)
    assert sum(one.numel() for one in (*net.encoder.parameters(), *net.decoder.parameters())) == 1_882_123
    assert kind(10, random_state=0).prepared(ds)[1].network_options.get("decoder") is None


def test_a_recipe_adds_to_what_the_method_says() -> None:
    more = {"objective_options": {"distance": "soft-dtw"}, "callbacks": [{"name": "weight-average"}], "clip": 1.0}
    recipe = cluster.DCAEGMM(2, recipe=more, **TINY).prepared(from_arrays(WAVES, validation=0, test=0))[1].recipe
    assert (recipe.objective_options["weight"], recipe.objective_options["distance"]) == (0.03, "soft-dtw")
    assert [one.name for one in recipe.callbacks] == ["cluster-phase", "weight-average"]
    assert recipe.clip == 1.0


def test_series_are_reconstructed_by_soft_dtw() -> None:
    one, other = (cluster.DCAEKMeans(2, distance=way, **TINY).fit(WAVES) for way in ("squared", "soft-dtw-divergence"))
    assert one.run_.history[0]["train_reconstruction"] > other.run_.history[0]["train_reconstruction"]


def test_training_that_ends_early_settles_too(monkeypatch: pytest.MonkeyPatch) -> None:
    settled = []
    original = CentresHead.settle
    monkeypatch.setattr(CentresHead, "settle", lambda self, group: (settled.append(1), original(self, group))[1])
    ds = from_arrays(X, test=0)
    model = cluster.AEKMeans(2, epochs=9, lr=1e-30, random_state=0, recipe={"patience": 1}).fit(ds)
    assert model.n_iter_ < 9 and len(settled) == 1


@pytest.mark.parametrize("kind", [cluster.DCAEGMM, cluster.NeuralMixture, cluster.IIC, cluster.DeepCluster])
def test_any_number_of_samples_is_clustered(kind: type) -> None:
    """Also one that leaves the last batch with a single sample."""
    x = np.random.default_rng(0).random((41, 1, 8, 8), np.float32)
    assert kind(2, epochs=1, batch_size=40, random_state=0).fit(x).labels_.shape == (41,)
