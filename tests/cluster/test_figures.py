from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import silhouette_samples

import nervure as nv
from nervure.cluster import figures
from nervure.cluster.figures import (
    View,
    decoded,
    invariance,
    latents,
    look,
    members,
    neurons,
    pictures,
    plane,
    scores,
    series,
    windows,
)
from nervure.cluster.figures.view import trouble
from nervure.data.dataset import Dataset, Preprocessing
from nervure.evidence import Bars, Curve, Images, Matrix, Scatter, Table
from nervure.report.figures import draw


@pytest.fixture(scope="module")
def ds() -> Dataset:
    whole = nv.data.load("digits", standardize="each-min-max", validation=0.0, test=0.0)
    return whole.subset(np.arange(160))


@pytest.fixture(scope="module")
def view(ds: Dataset) -> View:
    """An auto-encoder's clusterer on some digits, with two snapshots."""
    options = {"units": [4, 8]}
    model = nv.cluster.DCAEKMeans(
        4, epochs=4, batch_size=32, network_options=options, snapshots=[0, 2], random_state=0
    )  # fmt: skip
    return look(model.fit(ds).run_, ds, most=100)


@pytest.fixture(scope="module")
def scored(ds: Dataset) -> View:
    """A clusterer whose clusters are neurons, on some digits."""
    model = nv.cluster.NeuralMixture(
        4, epochs=4, batch_size=40, network_options={"width": 0.25}, lr=2e-3, random_state=0
    )
    return look(model.fit(ds).run_, ds, most=100)


@pytest.fixture(scope="module")
def waves() -> View:
    """Series of unequal lengths."""
    rng = np.random.default_rng(0)
    steps = np.arange(24)
    x = np.stack([np.sin(steps * rate + rng.uniform(0, 0.5)) for rate in np.repeat([0.3, 0.9], 20)])[:, None]
    x[::3, :, 18:] = np.nan
    ds = nv.data.from_arrays(x.astype(np.float32), validation=0, test=0, kind="series")
    return look(nv.cluster.DCAEKMeans(2, epochs=2, random_state=0).fit(ds).run_, ds)


@pytest.fixture(scope="module")
def flat() -> View:
    """Two features, for densities over the plane."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(at, 0.3, size=(50, 2)) for at in ((-2, 0), (2, 0), (0, 3))])
    ds = nv.data.from_arrays(x, np.repeat(np.arange(3), 50), validation=0, test=0)
    return look(nv.cluster.NeuralMixture(3, epochs=20, lr=1e-2, random_state=0).fit(ds).run_, ds)


class TestAll:
    @pytest.mark.parametrize("name", ["view", "scored", "waves", "flat"])
    def test_suit_the_run_and_can_be_drawn(self, name: str, request: pytest.FixtureRequest) -> None:
        pytest.importorskip("matplotlib")
        one: View = request.getfixturevalue(name)
        found, measures = figures.evidence_of(one.run, one.ds, most=60)
        assert {"clusters", "latents-by-cluster", "latents-map", "silhouette", "members-nearest"} <= set(found)
        assert set(measures) == {"silhouette"}
        for figure in found.values():
            assert figure.title and figure.alt
            assert "nv-empty" not in draw(figure)

    def test_samples_as_they_are_and_turned(self, view: View, waves: View, flat: View) -> None:
        found = figures.get("samples")(view)["samples-in-plane"]
        assert (found.groups == view.ds.y[found.data["samples"]]).all()
        assert found.labels == view.ds.names
        assert figures.get("samples")(waves)["samples-in-plane"].labels == waves.net.names
        assert figures.get("samples")(flat) == figures.get("invariance")(waves) == {}
        panels = figures.get("invariance")(view)
        assert list(panels) == ["invariance-convolution-1", "invariance-convolution-2", "invariance-latent"]
        assert all(panel.values.shape == (1, 7) and (panel.values > 0).all() for panel in panels.values())

    def test_all_variates_of_a_series(self, waves: View) -> None:
        assert figures.get("recording")(waves) == {}
        x = np.random.default_rng(0).standard_normal((20, 3, 24))
        x[:, :, 20:] = np.nan
        ds = nv.data.from_arrays(x, validation=0, test=0)
        one = look(nv.cluster.DCAEKMeans(2, epochs=1, random_state=0).fit(ds).run_, ds)
        found = figures.get("recording")(one)["series-recording"]
        np.testing.assert_array_equal(found.y, x[one.at[one.sure.argmax()]])

    def test_are_the_same_again(self, view: View) -> None:
        one, two = (figures.evidence_of(view.run, view.ds, most=60)[0] for _ in range(2))
        for name, figure in one.items():
            if isinstance(figure, Scatter):
                assert (figure.points == two[name].points).all()
            if isinstance(figure, Images):
                assert (figure.pictures == two[name].pictures).all()

    def test_leave_the_network_and_the_generator_alone(self, view: View) -> None:
        before = {name: one.clone() for name, one in view.net.state_dict().items()}
        state, mode = torch.get_rng_state(), view.net.training
        figures.evidence_of(view.run, view.ds, most=50)
        assert all(torch.equal(one, before[name]) for name, one in view.net.state_dict().items())
        assert torch.equal(state, torch.get_rng_state())
        assert view.net.training == mode
        assert all(one.grad is None for one in view.net.parameters())


class TestView:
    def test_draws_the_same_samples_in_order(self, view: View) -> None:
        again = look(view.run, view.ds, most=100)
        assert (again.some == view.some).all() and (np.diff(view.some) > 0).all()
        assert len(view.at) == 160

    def test_of_wide_latents_looks_at_fewer_samples(self, view: View, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("nervure.cluster.figures.view.AT_ONCE", 50 * view.net.head.latent)
        few = look(view.run, view.ds, most=20)
        assert few.latents.shape == (50, view.net.head.latent) and len(few.some) == 20
        assert (view.latents[np.isin(view.at, few.at)] == few.latents).all()

    def test_gives_what_the_clusterer_gives(self, view: View) -> None:
        model = nv.cluster.load(view.run)
        assert (view.clusters == model.predict(view.ds)).all()
        assert np.allclose(view.sure, model.predict_proba(view.ds).max(axis=1), atol=1e-6)
        assert np.allclose(view.latents, model.transform(view.ds), atol=1e-6)

    def test_silhouettes_are_those_of_scikit_learn(self, view: View) -> None:
        rows = view.some
        wanted = silhouette_samples(view.latents[rows].astype(np.float64), view.clusters[rows])
        assert np.allclose(view.silhouettes, wanted)
        bars = figures.get("silhouette")(view)["silhouette"]
        assert isinstance(bars, Bars)
        by = {f"cluster {one}": wanted[view.clusters[rows] == one].mean() for one in np.unique(view.clusters[rows])}
        assert dict(zip(bars.bars, bars.values[0].tolist(), strict=True)) == pytest.approx(by)
        assert f"lowest for {min(by, key=by.__getitem__)} with" in bars.alt
        sizes = [row[1] for row in figures.get("clusters")(view)["clusters"].rows]
        assert sizes == sorted(sizes, reverse=True)

    def test_sees_trouble(self, view: View) -> None:
        net = view.net
        kept = net.head.centres.clone()
        net.head.centres[1:] += 1e6
        lost = look(view.run, view.ds)
        net.head.centres.copy_(kept)
        assert any("without a member" in line for line in trouble(lost))
        table = figures.get("clusters")(lost)["clusters"]
        assert isinstance(table, Table) and "without a member: 1, 2, 3" in table.title
        assert lost.silhouettes is None and figures.get("silhouette")(lost) == {}

    def test_clusters_that_died_are_told_apart_from_those_in_use(self) -> None:
        rng = np.random.default_rng(0)
        x = np.concatenate([rng.normal(at, 0.3, size=(60, 3)) for at in (-5, 0, 5)])
        model = nv.cluster.DCAEKMeans(8, latent=3, empty="die", epochs=12, batch_size=20, random_state=0).fit(x)
        one = look(model.run_, nv.data.from_arrays(x, validation=0, test=0))
        lives = int(model.net_.head.alive.sum())
        table = figures.get("clusters")(one)["clusters"]
        assert lives < 8 and len(table.rows) == lives and all(row[1] for row in table.rows)
        assert table.title.startswith(f"{lives} of at most 8 clusters: all of them are in use")

    def test_says_where_not_all_samples_were_looked_at(
        self, view: View, scored: View, waves: View, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = figures.get("silhouette")(view)["silhouette"].title, figures.get("clusters")(view)["clusters"].title
        assert whole[0].endswith("over 100 of 160 samples") and whole[1].startswith("4 clusters: ")
        monkeypatch.setattr("nervure.cluster.figures.view.LOOKED_AT", 30)
        for name, one in (
            ("clusters", view),
            ("members", view),
            ("centres", view),
            ("neurons", scored),
            ("series", waves),
        ):
            few = look(one.run, one.ds, most=30)
            figure = next(iter(figures.get(name)(few).values()))
            assert f"(30 of {len(one.ds)} samples looked at)" in figure.title
        assert "30 of 160 samples" in figures.get("silhouette")(look(view.run, view.ds, most=30))["silhouette"].title

    def test_measures_are_of_the_split_that_the_run_is_measured_on(self, view: View) -> None:
        splits = {"train": np.arange(100), "test": np.arange(100, 160)}
        ds = dataclasses.replace(view.ds, splits=splits)
        found, measures = figures.evidence_of(view.run, ds)
        rows = view.clusters[100:]
        assert measures["silhouette"] == pytest.approx(
            silhouette_samples(view.latents[100:].astype(float), rows).mean()
        )
        assert found["silhouette"].title.endswith("over all training samples")


class TestLatents:
    def test_neighbours_stay_neighbours(self) -> None:
        rng = np.random.default_rng(0)
        at = np.repeat(np.eye(4) * 20, 25, axis=0)
        made = latents.in_plane(at + rng.normal(size=at.shape), seed=0)
        far = silhouette_samples(made.astype(np.float64), np.repeat(np.arange(4), 25))
        assert far.mean() > 0.7
        assert (made == latents.in_plane(at + np.random.default_rng(0).normal(size=at.shape), seed=0)).all()

    @pytest.mark.parametrize("points", [np.zeros((50, 4)), np.ones((3, 5)), np.arange(6.0)[:, None]])
    def test_nothing_to_spread_gives_finite_points(self, points: NDArray[np.float64]) -> None:
        made = latents.in_plane(points)
        assert made.shape == (len(points), 2) and np.isfinite(made).all()

    def test_by_cluster_and_label_share_places_and_colours(self, view: View) -> None:
        found = latents.latents(view)
        by_cluster, by_label = found["latents-by-cluster"], found["latents-by-label"]
        assert (by_cluster.points == by_label.points).all()
        assert (by_label.groups == view.labels[view.some]).all()
        for row, group in zip(view.some, by_cluster.groups, strict=True):
            assert by_cluster.labels[group].startswith(f"cluster {view.clusters[row]}")
        table = figures.get("clusters")(view)["clusters"]
        assert set(by_cluster.labels) - {""} == {f"{row[0]} ({row[5]})" if row[1] else row[0] for row in table.rows}
        assert by_cluster.thumbnails.shape == (100, 1, 8, 8)
        assert f"sample {view.at[view.some[0]]}" in by_cluster.hover[0]

    def test_a_label_without_a_cluster_leaves_its_colour_out(self, view: View) -> None:
        y = np.array([8, 1, 6, 9])[view.clusters]
        found = latents.latents(dataclasses.replace(view, ds=dataclasses.replace(view.ds, y=y)))
        assert (found["latents-by-cluster"].groups == found["latents-by-label"].groups).all()
        assert found["latents-by-cluster"].labels[8] == "cluster 0 (8)"

    def test_clusters_are_not_named_after_labels_that_they_lack(self, view: View) -> None:
        logs = np.zeros_like(view.logs)
        logs[np.arange(160), np.where(np.arange(160) < 80, 0, 1)] = 1  # the others are empty
        y = np.where(np.arange(160) < 80, 7, np.where(np.arange(160) < 130, -1, 7))
        one = dataclasses.replace(view, logs=logs, ds=dataclasses.replace(view.ds, y=y))
        assert set(latents.latents(one)["latents-by-cluster"].labels) - {""} == {
            "cluster 0 (7)", "cluster 1 (7)", "cluster 2", "cluster 3"
        }  # fmt: skip
        unknown = dataclasses.replace(one, ds=dataclasses.replace(view.ds, y=np.where(np.arange(160) < 80, 7, -1)))
        assert "cluster 1" in latents.latents(unknown)["latents-by-cluster"].labels

    def test_snapshots_are_drawn_anew_and_keep_their_latents(self, view: View) -> None:
        held = view.run.evidence
        found = latents.snapshots(view)
        assert set(found) == {"snapshot-0", "snapshot-2"}
        for name, figure in found.items():
            assert (figure.data["latents"] == held[name].data["latents"]).all()
            assert (figure.groups == view.ds.y[figure.data["samples"]]).all()
        assert not np.allclose(held["snapshot-0"].data["latents"], held["snapshot-2"].data["latents"])

    def test_the_map_is_sorted_by_cluster(self, view: View) -> None:
        made = latents.heat(view)["latents-map"]
        assert isinstance(made, Matrix)
        assert list(made.columns) == sorted(made.columns)
        samples = made.data["samples"]
        assert np.abs(made.values).max(axis=1) == pytest.approx(1)
        rows = np.searchsorted(view.at, samples)
        for part in np.split(view.sure[rows], made.data["first"][1:]):
            assert (np.diff(part) <= 0).all()
        unit = view.latents[np.searchsorted(view.at, samples), 0]
        assert made.values[0] == pytest.approx(unit / np.abs(unit).max())


class TestMembers:
    def test_nearest_and_farthest_are_exact(self, view: View) -> None:
        centres = view.net.head.prototypes().numpy()
        for cluster in np.unique(view.clusters):
            mine = np.flatnonzero(view.clusters == cluster)
            distance = np.array([np.sqrt(((view.latents[row] - centres[cluster]) ** 2).sum()) for row in mine])
            assert distance[np.searchsorted(mine, members.ranked(view, cluster, 1))] == pytest.approx(distance.min())
            far = members.ranked(view, cluster, 1, far=True)
            assert distance[np.searchsorted(mine, far)] == pytest.approx(distance.max())

    def test_a_row_a_cluster_with_strangers_framed(self, view: View) -> None:
        made = members.members(view)["members-nearest"]
        assert isinstance(made, Images)
        there = np.unique(view.clusters)
        assert len(made.pictures) == len(there) * made.columns
        for number, cluster in enumerate(there):
            rows = members.ranked(view, int(cluster), members.EACH)
            marks = made.framed[number * made.columns :][: len(rows)]
            common = np.bincount(view.labels[view.clusters == cluster]).argmax()
            assert marks.tolist() == (view.labels[rows] != common).tolist()


class TestDecoded:
    def test_centres_are_what_the_decoder_makes_of_them(self, view: View) -> None:
        made = decoded.centres(view)["centres"]
        with torch.no_grad():
            wanted = view.net.decoder(view.net.head.centres.float())
        assert np.abs(made.pictures / 255 - wanted.clamp(0, 1).numpy()).max() < 0.003

    def test_reconstructions_stand_above_their_inputs(self, view: View) -> None:
        made = decoded.reconstructions(view)["reconstructions"]
        assert len(made.pictures) == 2 * made.columns
        below = {picture.tobytes() for picture in made.pictures[made.columns :]}
        every = {picture.tobytes() for picture in pictures.images(view.ds.preprocessing, view.samples(view.some)[0])}
        assert below <= every
        with torch.no_grad():
            out = view.net.decode(torch.from_numpy(view.latents))
        errors = (out - view.samples(np.arange(160))[0]).square().flatten(1).sum(dim=1).numpy()
        assert f"squared error {errors[decoded._spread(view, decoded.PAIRS)].mean():.3g}." in made.alt

    def test_reconstructions_are_of_the_surest_of_each_cluster(self, view: View) -> None:
        there = np.unique(view.clusters[view.some])
        for row in decoded._spread(view, len(there)):
            mine = view.some[view.clusters[view.some] == view.clusters[row]]
            assert view.sure[row] == view.sure[mine].max()

    def test_without_a_decoder_there_are_none(self, scored: View) -> None:
        assert decoded.centres(scored) == {} and decoded.reconstructions(scored) == {}


class TestSeries:
    def test_mean_and_band_leave_padding_out(self, waves: View) -> None:
        found = series.means(waves)
        curve = found["series-0-0"]
        assert isinstance(curve, Curve)
        for line, spread, cluster in zip(curve.y, curve.spread, np.unique(waves.clusters), strict=True):
            at = waves.at[waves.clusters == cluster]
            held = np.where(waves.ds.mask[at], waves.ds.x[at, 0], np.nan)
            there = ~np.isnan(held).all(axis=0)
            assert (np.isnan(line) == ~there).all()
            assert line[there] == pytest.approx(np.nanmean(held[:, there], axis=0), abs=1e-6)
            assert spread[there] == pytest.approx(np.nanstd(held[:, there], axis=0), abs=1e-6)

    def test_stored_values_and_what_the_network_reads_are_told_apart(self, waves: View) -> None:
        assert {one.y_label for one in series.means(waves).values()} == {"stored value"}
        drawn = decoded.centres(waves) | decoded.reconstructions(waves)
        assert drawn and {one.y_label for one in drawn.values()} == {"network input"}

    def test_strips_show_the_line(self) -> None:
        made = pictures.strips(torch.tensor([[[0.0, 1.0]]]))[0, 0]
        rows = [np.flatnonzero(column < 255).mean() for column in made.T]
        assert rows[0] > rows[-1] and (np.diff(rows) <= 0).all()


@pytest.fixture(scope="module")
def cut() -> tuple[View, NDArray[np.float64]]:
    """Windows of two recordings, of which the second is the longer one, and the points of both."""
    points = np.random.default_rng(0).standard_normal((150, 2)).cumsum(axis=0).astype(np.float32)
    ds = nv.data.windows(
        points, length=12, stride=5, recordings=[0] * 40 + [1] * 110, names=(), validation=0, test=0
    )  # fmt: skip
    model = nv.cluster.DCAEKMeans(2, network="autoencoder", network_options={"widths": [8]}, epochs=1, random_state=0)
    return look(model.fit(ds).run_, ds), points


class TestNames:
    def test_of_variates_and_how_many_are_drawn(self) -> None:
        x = np.random.default_rng(0).standard_normal((24, 6, 16))
        ds = nv.data.from_arrays(x, columns=["ax", "ay", "az", "gx", "gy", "gz"], validation=0, test=0)
        sensors = look(nv.cluster.DCAEKMeans(2, epochs=1, random_state=0).fit(ds).run_, ds)
        drawn = series.means(sensors) | decoded.centres(sensors) | decoded.reconstructions(sensors)
        for name in ("series-1-0", "centres-1", "reconstructions-1"):
            assert drawn[name].title.endswith(", ay (3 of 6 variates are drawn)")
        recording = series.recording(sensors)["series-recording"]
        assert recording.labels == ("ax", "ay", "az", "gx", "gy", "gz") and recording.title.startswith("All variates")

    def test_of_variates_without_any(self, cut: tuple[View, NDArray[np.float64]]) -> None:
        titles = {name: one.title for name, one in series.means(cut[0]).items()}
        assert titles["series-1-0"] == "Series by cluster: mean and one standard deviation, variate 1"

    def test_of_what_windows_are_cut_from(self) -> None:
        points = np.random.default_rng(0).standard_normal((120, 4)).cumsum(axis=0).astype(np.float32)
        ds = nv.data.windows(points, length=12, stride=5, columns=["ax", "ay", "az", "t"], validation=0, test=0)
        model = nv.cluster.DCAEKMeans(2, network="autoencoder", network_options={"widths": [8]}, epochs=1)
        found = windows.windows(look(model.fit(ds).run_, ds))
        assert found["series-stretch"].labels == ("ax", "ay", "az")
        assert found["series-windows"].labels[:3] == ("ax", "ay", "az")
        assert all(one.title.endswith(" (3 of 4 variates are drawn)") for one in found.values())

    def test_of_features(self) -> None:
        x = np.random.default_rng(0).standard_normal((40, 3))
        ds = nv.data.from_arrays(x, columns=["age", "bmi", "height"], validation=0, test=0)
        model = nv.cluster.DCAEKMeans(2, network_options={"widths": [8]}, epochs=1, random_state=0)
        one = look(model.fit(ds).run_, ds)
        assert decoded.centres(one)["centres"].columns == ("age", "bmi", "height")
        assert members.members(one)["members-nearest"].columns[3:] == ("age", "bmi", "height")


class TestWindows:
    @pytest.mark.parametrize("step", [1, 4, 10])
    def test_the_step_is_that_of_the_cut(self, step: int) -> None:
        points = np.random.default_rng(step).standard_normal((60, 2))
        x = np.stack([points[start : start + 12].T for start in range(0, 48, step)])
        assert windows.step_of(x) == step
        assert windows.step_of(x[np.random.default_rng(0).permutation(len(x))]) == 0

    @pytest.mark.parametrize("x", [np.zeros((9, 1, 12)), np.zeros((0, 1, 12)), np.ones((1, 1, 12)), np.ones((9, 1, 2))])
    def test_level_few_or_short_series_have_none(self, x: NDArray[np.float64]) -> None:
        assert windows.step_of(x) == 0

    def test_the_longest_stretch_is_the_recording_again(self, cut: tuple[View, NDArray[np.float64]]) -> None:
        view, points = cut
        found = figures.get("windows")(view)["series-stretch"]
        assert (found.y == points[40:].T[:, : found.y.shape[1]]).all()
        assert found.y.shape[1] == 19 * 5 + 12

    def test_windows_lie_below_what_they_were_cut_from(self, cut: tuple[View, NDArray[np.float64]]) -> None:
        view, points = cut
        found = figures.get("windows")(view)["series-windows"]
        assert found.title == "Windows of 12 time steps, one every 5"
        assert (found.y[:2] == points[40:72].T).all()
        there = [np.flatnonzero(np.isfinite(line)) for line in found.y[2:]]
        assert [(at[0], at[-1], len(at)) for at in there] == [(5 * k, 5 * k + 11, 12) for k in range(5)]
        assert np.nanmax(found.y[2:]) < found.y[:2].min()
        first = [view.called(row) for row in range(len(view.at))].index("40")
        assert found.labels[2] == f"window 1: cluster {view.clusters[first]}"

    def test_other_samples_have_none(self, view: View, waves: View, flat: View) -> None:
        assert all(figures.get("windows")(one) == {} for one in (view, waves, flat))


class TestUntrained:
    def test_shows_the_network_that_training_began_with(self, scored: View) -> None:
        found = figures.get("untrained")(scored)
        assert {name: one.title for name, one in found.items()} == {
            "latents-untrained-by-cluster": "Untrained network, by cluster",
            "latents-untrained-by-label": "Untrained network, by label",
        }
        net = nv.nets.rebuild(scored.run.origin).eval()
        x = scored.ds.batch(scored.at[scored.some]).x
        with torch.no_grad():
            raw = net.head.linear(net.encode(x)).double()
        scores = (raw - raw.mean(dim=0)) / (raw.var(dim=0, unbiased=False) + 1e-5).sqrt()
        figure = found["latents-untrained-by-cluster"]
        named = [int(figure.labels[group].split()[1]) for group in figure.groups]
        assert named == scores.argmax(dim=1).tolist()
        assert (found["latents-untrained-by-label"].groups == scored.labels[scored.some]).all()
        assert figure.points.shape == (len(scored.some), 2)

    def test_is_of_scores_alone(self, view: View) -> None:
        assert figures.get("untrained")(view) == {}


class TestSorted:
    """Of samples sorted by class, all classes are drawn."""

    @pytest.fixture
    def ordered(self, scored: View) -> View:
        order = np.argsort(scored.ds.y, kind="stable")
        return look(scored.run, dataclasses.replace(scored.ds, x=scored.ds.x[order], y=scored.ds.y[order]))

    def test_what_is_turned(self, ordered: View, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[NDArray[np.int64]] = []

        def measure(net: object, ds: Dataset, at: NDArray[np.int64]) -> None:
            seen.append(np.unique(ds.y[at]))
            raise KeyError

        monkeypatch.setattr(f"{invariance.__name__}.measure", measure)
        monkeypatch.setattr(f"{invariance.__name__}.SHOWN", 20)
        with pytest.raises(KeyError):
            invariance.invariance(ordered)
        assert len(seen[0]) == 10

    def test_what_a_batch_is(self, ordered: View, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(f"{scores.__name__}.BATCH", 40)
        rows = scores.balance(ordered)["densities-balance"].rows
        some = ordered.latents[latents.evenly(ordered.some, 40)]
        with torch.no_grad():
            raw = ordered.net.head.linear(torch.from_numpy(some)) / ordered.net.head.gamma
        assert [row[1] for row in rows] == pytest.approx(raw.sigmoid().mean(dim=0).tolist(), abs=6e-4)

    def test_what_ascent_begins_with(self, ordered: View, monkeypatch: pytest.MonkeyPatch) -> None:
        begun: list[torch.Tensor] = []
        monkeypatch.setattr(f"{neurons.__name__}.ascend", lambda goal, start, **_: begun.append(start) or start)
        monkeypatch.setattr(f"{neurons.__name__}.START", 40)
        neurons.neurons(ordered)
        even = ordered.samples(latents.evenly(ordered.some, 40))[0]
        assert torch.equal(begun[0][0], even.mean(dim=0))


class TestNeurons:
    def test_made_inputs_exceed_nearly_all_samples(self, scored: View) -> None:
        made = neurons.neurons(scored)["neurons"]
        assert isinstance(made, Images) and made.columns == 11
        assert made.data["exceeded"].shape == (4,)
        assert made.data["exceeded"].min() >= 0.99

    def test_the_ten_best_are_exact(self, scored: View) -> None:
        made = neurons.neurons(scored)["neurons"]
        model = nv.cluster.load(scored.run)
        with torch.no_grad():
            raw = model.net_.head.normal(torch.from_numpy(model.transform(scored.ds))).numpy()
        best = np.argsort(-raw[:, 0], kind="stable")[:10]
        x = scored.ds.batch(best).x
        assert (made.pictures[1:11] == pictures.images(scored.ds.preprocessing, x)).all()

    def test_ascent_stays_in_range_and_changes_with_the_seed(self) -> None:
        def goal(x: torch.Tensor) -> torch.Tensor:
            return x.sum(dim=(1, 2, 3))

        made = [neurons.ascend(goal, torch.zeros(2, 1, 8, 8), low=0, high=1, steps=12, seed=one) for one in (0, 0, 1)]
        assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])
        assert made[0].min() >= 0 and made[0].max() <= 1

    def test_filters_answer_more_than_to_any_sample(self, view: View) -> None:
        found = neurons.filters(view)
        assert set(found) == {"filters-first", "filters-last"}
        assert len(found["filters-last"].pictures) == 8


class TestPlane:
    def test_points_are_the_samples(self, flat: View) -> None:
        made = plane.points(flat)["points-by-cluster"]
        assert np.allclose(made.points, flat.ds.x)
        assert (made.groups == flat.clusters).all()

    def test_densities_are_high_where_the_cluster_is(self, flat: View) -> None:
        made = plane.contours(flat)["contours"]
        low, high = flat.ds.x.min(axis=0), flat.ds.x.max(axis=0)
        cluster = int(made.captions[3].split(",")[0].split()[1])
        spot = flat.ds.x[flat.clusters == cluster].mean(axis=0)
        column, row = (spot - low) / (high - low) * (plane.GRID - 1)
        shade = made.pictures[3, 0]
        assert shade[plane.GRID - 1 - round(row), round(column)] > np.median(shade)

    def test_normalised_batch_means_are_even(self, flat: View) -> None:
        table = figures.get("balance")(flat)["densities-balance"]
        assert all(0.47 < row[2] < 0.53 for row in table.rows)

    def test_scores_of_a_batch_reach_the_root_of_its_size_less_one(self, flat: View) -> None:
        made = figures.get("densities")(flat)["densities"]
        assert made.x[[0, -1]] == pytest.approx([-(127**0.5), 127**0.5])
        assert made.y[:, 100] == pytest.approx([0.5, (2 * np.pi) ** -0.5])
        assert made.y[0, -1] == pytest.approx(1 / (1 + np.exp(-(127**0.5) / 5)))


class TestPictures:
    @pytest.mark.parametrize("channels", [1, 2, 3])
    def test_show_one_or_three_channels(self, channels: int) -> None:
        x = torch.rand(4, channels, 5, 6, generator=torch.Generator().manual_seed(0))
        made = pictures.images(Preprocessing(), x)
        assert made.shape == (4, 3 if channels == 3 else 1, 5, 6)
        assert np.abs(made[:, 0] / 255 - x[:, 0].numpy()).max() < 0.003

    def test_undo_the_scaling_of_the_network_input(self) -> None:
        raw = np.random.default_rng(0).integers(0, 256, size=(20, 3, 6, 6)).astype(np.uint8)
        ds = nv.data.from_arrays(raw, validation=0, test=0)
        made = pictures.images(ds.preprocessing, ds.batch(np.arange(20)).x)
        assert np.abs(made.astype(int) - raw).max() <= 1
