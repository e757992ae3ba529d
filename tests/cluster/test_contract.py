"""What every clusterer promises, generated over the table."""

from __future__ import annotations

import contextlib
import pickle
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.base import clone

from nervure import cluster, data, store
from nervure.cluster.estimator import DeepClusterer
from nervure.cluster.method import begin
from nervure.data.dataset import Dataset
from nervure.errors import DivergedError, InputError
from nervure.train import fit

NAMES = cluster.clusterers.names()
KINDS = ("table", "image", "series", "unequal")
SCORED = ("neural-mixture", "iic", "deep-cluster")
"""Methods whose network gives scores; the others have an auto-encoder."""

SMALL: dict[tuple[str, bool], dict[str, object]] = {
    ("table", True): {"layout": "F8 F8 F"},
    ("image", True): {"layout": "C4 M F8 F"},
    ("series", True): {"layout": "C4 M F8 F"},
    ("unequal", True): {"units": [4], "kernels": [3]},
    ("table", False): {"widths": [8]},
    ("image", False): {"widths": [8]},
    ("series", False): {"widths": [8]},
    ("unequal", False): {"units": 4, "depth": 1},
}


@cache
def samples(kind: str) -> NDArray[np.float32]:
    """Two groups of 24 samples, as users hand them over."""
    draw = np.random.default_rng(0)
    shape = {"table": (48, 4), "image": (48, 8, 8), "series": (48, 2, 12), "unequal": (48, 2, 12)}[kind]
    found = draw.normal(0, 0.3, shape).astype(np.float32)
    found[1::2, ..., : shape[-1] // 2] += 2
    if kind == "unequal":
        for number, end in enumerate(draw.integers(8, 13, 48)):
            found[number, :, end:] = np.nan
    return found


def tiny(name: str, kind: str = "table", **settings: Any) -> DeepClusterer:
    scored = name in SCORED
    values: dict[str, Any] = {
        "epochs": 2, "batch_size": 16, "latent": None if scored else 2, "network_options": SMALL[kind, scored],
        "random_state": 0, "device": "cpu",
    }  # fmt: skip
    if not scored and kind in ("image", "series"):
        values["network"] = "autoencoder"
    return cluster.clusterers.get(name)(2, **{**values, **settings})


@cache
def fitted(name: str) -> DeepClusterer:
    """A fit that tests may look at and not change."""
    return tiny(name).fit(samples("table"))


def weights(model: DeepClusterer) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = model.net_.state_dict()
    return found


def _with_labels(x: NDArray[np.float32], labels: NDArray[np.int64] | None) -> Dataset:
    return data.from_arrays(x, labels, splits={"train": np.arange(len(x))}, validation=0, test=0)


def test_every_row_has_its_class_under_its_own_name() -> None:
    for name in NAMES:
        kind = cluster.clusterers.get(name)
        assert getattr(cluster, kind.__name__) is kind
        assert {"paper", "robust", "quick"} <= set(kind.profiles)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_every_kind_of_data_is_clustered(name: str, kind: str) -> None:
    x = samples(kind)
    model = fitted(name) if kind == "table" else tiny(name, kind).fit(x)
    sure, where = model.predict_proba(x), model.transform(x)
    assert model.labels_.shape == (48,) and set(model.labels_) <= {0, 1}
    assert np.array_equal(model.predict(x), model.labels_)
    assert sure.shape == (48, 2) and np.allclose(sure.sum(axis=1), 1) and (sure >= 0).all()
    assert np.array_equal(sure.argmax(axis=1), model.labels_)
    assert where.shape[0] == 48 and np.isfinite(where).all()
    assert np.isfinite(model.score(x))
    assert np.allclose(model.predict_proba(x[:5]), sure[:5], atol=1e-5), "a sample's batch does not matter"


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_bits_whatever_y_is(name: str) -> None:
    x = samples("table")
    again = tiny(name).fit(x, np.array([object()] * 48))
    assert all(torch.equal(value, weights(again)[key]) for key, value in weights(fitted(name)).items())
    other = begin(tiny(name, random_state=1).prepared(_with_labels(x, None))[1], 2, _with_labels(x, None))
    first = next(key for key in other.state_dict() if key.startswith("encoder") and key.endswith("weight"))
    assert not torch.equal(other.state_dict()[first], weights(again)[first])


@pytest.mark.parametrize("name", NAMES)
def test_copies_and_pickles(name: str) -> None:
    x, model = samples("table"), fitted(name)
    assert clone(model).get_params() == model.get_params()
    assert not hasattr(clone(model), "run_")
    back = pickle.loads(pickle.dumps(model))
    assert np.array_equal(back.predict_proba(x), model.predict_proba(x))


@pytest.mark.parametrize("name", NAMES)
def test_its_run_comes_back_from_a_folder(name: str, tmp_path: Path) -> None:
    x, model = samples("table"), fitted(name)
    store.save(tmp_path / "run", model.run_)
    back = tiny(name).adopt(store.load(tmp_path / "run"))
    assert np.array_equal(back.predict_proba(x), model.predict_proba(x))
    assert back.score(x) == pytest.approx(model.score(x))


@pytest.mark.parametrize("name", NAMES)
def test_labels_of_the_data_are_never_read(name: str) -> None:
    found = []
    for labels in (np.arange(48) % 2, np.arange(48) // 24):
        ds = _with_labels(samples("table"), labels)
        ready, method = tiny(name).prepared(ds)
        found.append(fit(begin(method, 2, ready), ready, method.recipe, device="cpu").net.state_dict())
    assert all(torch.equal(value, found[1][key]) for key, value in found[0].items())


@pytest.mark.parametrize("name", NAMES)
def test_the_network_given_is_not_changed(name: str) -> None:
    from nervure import nets

    base = "mlp" if name in SCORED else "autoencoder"
    options = {"widths": [8]} if name in SCORED else {"widths": [8], "latent": 2}
    net = nets.build(base, in_shape=(4,), classes=2, **options)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    model = tiny(name, network=net, network_options=None).fit(samples("table"))
    assert model.predict(samples("table")).shape == (48,)
    assert list(net.state_dict()) == list(before)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


@pytest.mark.parametrize("name", NAMES)
def test_wrong_input_is_named(name: str) -> None:
    with pytest.raises(InputError, match="n_clusters"):
        tiny(name).set_params(n_clusters=0).fit(samples("table"))
    with pytest.raises(InputError, match="n_samples=1"):
        tiny(name).fit(samples("table")[:1])
    with pytest.raises(InputError, match="different samples"):
        tiny(name).fit(np.ones((20, 4)))
    with pytest.raises(InputError, match="profile 'best'"):
        tiny(name, profile="best").fit(samples("table"))


@pytest.mark.parametrize("name", NAMES)
def test_a_rate_out_of_bounds_is_named_or_survived(name: str) -> None:
    """Nothing runs on with values that are no numbers, and nothing waits for them to become some."""
    model = tiny(name, "image", lr=1e8, epochs=3)
    with contextlib.suppress(DivergedError):
        model.fit(samples("image"))
    assert not hasattr(model, "run_") or np.isfinite(model.predict_proba(samples("image"))).all()
