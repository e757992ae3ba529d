from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import nn

from nervure import cluster
from nervure.cluster.choice import by_silhouette, by_stability
from nervure.cluster.counts import Count
from nervure.errors import InputError
from nervure.nets import build

Blobs = tuple[NDArray[np.float32], NDArray[np.int64]]
SMALL = {"epochs": 12, "batch_size": 16, "latent": 4, "network_options": {"widths": [16]}, "random_state": 0}


def four() -> NDArray[np.float32]:
    draw = np.random.default_rng(1)
    return (8 * np.eye(4)[np.arange(160) % 4] + draw.normal(0, 0.6, (160, 4))).astype(np.float32)


@pytest.mark.parametrize("rule", ["silhouette", "stability", "bic", "die"])
@pytest.mark.parametrize("truth", [3, 4])
def test_every_rule_finds_separate_groups(blobs: Blobs, rule: str, truth: int) -> None:
    x = blobs[0] if truth == 3 else four()
    found = cluster.choose(cluster.DCAEGMM(**SMALL), x, range(2, 7), rule=rule, refit=False)
    assert found.k == truth
    assert found.trained == "once, with the reconstruction alone"
    assert found.notes == ()
    assert found.latent is None
    assert [row.k for row in found.rows] == ([] if rule == "die" else [2, 3, 4, 5, 6])
    assert f"{truth} clusters" in found.figure().title


@pytest.mark.parametrize("rule", ["silhouette", "stability", "die"])
def test_and_with_the_network_trained_anew(blobs: Blobs, rule: str) -> None:
    model = cluster.DCAEKMeans(**{**SMALL, "epochs": 20}, init="kmeans", warmup=5)
    seen: list[tuple[int, int]] = []
    found = cluster.choose(
        model, blobs[0], (2, 3, 4), rule=rule, seeds=2, progress=lambda done, of: seen.append((done, of))
    )  # fmt: skip
    assert found.k == 3
    assert seen[-1] == ((1, 1) if rule == "die" else (6, 6))
    assert (model.n_clusters, model.empty, hasattr(model, "run_")) == (10, None, False)


def test_one_group_is_said_to_be_one() -> None:
    x = np.random.default_rng(0).normal(size=(300, 5))
    found = cluster.choose(cluster.AEKMeans(**{**SMALL, "latent": 5}), x, (4, 5, 6), refit=False)
    assert [note.split(":")[0] for note in found.notes] == [
        "No number shows clear clusters", "No number is found again over seeds",
    ]  # fmt: skip
    assert found.notes[0] in found.table().alt
    alone = cluster.choose(cluster.DCAEGMM(**SMALL), x, (8,), rule="die", refit=False)
    assert alone.k == 1
    assert alone.notes == ("A single cluster is left: the data shows no more.",)


def test_methods_without_an_auto_encoder_share_no_size(blobs: Blobs) -> None:
    model = cluster.NeuralMixture(2, epochs=1, batch_size=16, n_init=1, random_state=0)
    assert cluster.choose(model, blobs[0], (2, 3), seeds=2).latent is None
    with pytest.raises(InputError, match="latent: neural-mixture has no auto-encoder"):
        cluster.NeuralMixture(2, latent=3).fit(blobs[0])


def test_one_fit_keeps_no_measures_of_several(blobs: Blobs, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="rule 'die' makes one fit"):
        cluster.choose(cluster.DCAEKMeans(**SMALL), blobs[0], (3,), rule="die", out=tmp_path / "fits")


def test_latents_have_one_size_for_all_numbers(blobs: Blobs) -> None:
    model = cluster.AEKMeans(epochs=1, network_options={"widths": [8]}, random_state=0)
    assert cluster.choose(model, blobs[0], (2, 5), refit=False).latent == 5
    assert model.latent is None


def test_latents_have_the_size_that_the_profile_gives_the_largest_number(blobs: Blobs) -> None:
    model = cluster.DCAEGMM(epochs=2, network_options={"widths": [8]}, random_state=0)
    found = cluster.choose(model, blobs[0], (2, 3), refit=False, seeds=2)
    assert found.latent == model.set_params(n_clusters=3).fit(blobs[0]).net_.head.latent == 6


def small(in_shape: tuple[int, ...], clusters: int) -> nn.Module:
    return build("autoencoder", in_shape=in_shape, classes=clusters, latent=2, widths=[8])


@pytest.mark.parametrize("network", ["module", f"{__name__}:small"])
@pytest.mark.parametrize("refit", [False, True])
def test_an_auto_encoder_of_ones_own_has_latents_of_its_own(blobs: Blobs, network: str, refit: bool) -> None:
    given = small((4,), 3) if network == "module" else network
    found = cluster.choose(cluster.DCAEKMeans(network=given, epochs=2), blobs[0], (2, 3), seeds=2, refit=refit)
    assert found.latent is None


def test_a_second_call_goes_on(blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, model = tmp_path / "fits", cluster.AEKMeans(**SMALL)
    fit, made = cluster.AEKMeans.fit_run, []

    def counting(self: object, *args: object, **kwargs: object) -> object:
        made.append(1)
        if len(made) == 3:
            raise KeyboardInterrupt
        return fit(self, *args, **kwargs)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(cluster.AEKMeans, "fit_run", counting)
        with pytest.raises(KeyboardInterrupt):
            cluster.choose(model, blobs[0], (2, 3), seeds=2, out=path)
        resumed = cluster.choose(model, blobs[0], (2, 3), seeds=2, out=path)
        assert len(made) == 3 + 2
    assert resumed == cluster.choose(model, blobs[0], (2, 3), seeds=2)
    with pytest.raises(InputError, match="different data"):
        cluster.choose(model, blobs[0][:-1], (2, 3), seeds=2, out=path)
    with pytest.raises(InputError, match="different refit"):
        cluster.choose(model, blobs[0], (2, 3), seeds=2, out=path, refit=False)


ROW = Count(2, 0.5, 0.0, 0.9, 0.0, 0.05, 2)


def test_the_rules_by_hand() -> None:
    rows = [
        dataclasses.replace(ROW, k=k, silhouette=silhouette, stability=stability)
        for k, silhouette, stability in ((2, 0.5, 1.0), (3, 0.6, 0.94), (4, 0.9, 0.92), (5, 0.95, 0.6))
    ]
    assert by_silhouette(rows) == 3  # 0.06 is within 0.05 * sqrt(2), 0.08 is not
    assert by_stability(rows) == 4
    assert by_stability([dataclasses.replace(row, weakest=0.8 - row.k / 50) for row in rows]) == 2
    assert by_stability([dataclasses.replace(row, weakest=0.5) for row in rows]) == 4
    assert by_silhouette([dataclasses.replace(row, silhouette=0.5) for row in rows]) == 2
    assert by_stability([dataclasses.replace(row, stability=-0.1 * row.k) for row in rows]) == 2


def test_figure_and_table_hold_every_number(blobs: Blobs) -> None:
    found = cluster.choose(cluster.DCAEGMM(**SMALL), blobs[0], (2, 3, 4), rule="bic", seeds=2)
    assert found.figure().y.shape == (1, 3)
    assert found.figure().spread is not None
    assert [row[0] for row in found.table().rows] == [2, 3, 4]
    assert [row[-1] for row in found.table().rows] == ["", "yes", ""]
    both = dataclasses.replace(found, rule="silhouette").figure()
    assert both.labels == ("silhouette", "stability over seeds")
    assert both.x.tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"counts": ()}, "counts"),
        ({"counts": (1, 2)}, "counts"),
        ({"counts": (2, 2.5)}, "counts"),
        ({"rule": "elbow"}, "give one of silhouette"),
        ({"seeds": 1}, "seeds"),
        ({"rule": "bic"}, "'ae-kmeans' has none"),
        ({"rule": "die"}, "'ae-kmeans' cannot die"),
        ({"rule": "bic", "refit": True}, "refit=False"),
        ({"counts": (2, 500)}, "500"),
    ],
)
def test_wrong_questions_are_refused(blobs: Blobs, wrong: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        cluster.choose(cluster.AEKMeans(**SMALL), blobs[0], **wrong)  # type: ignore[arg-type]
