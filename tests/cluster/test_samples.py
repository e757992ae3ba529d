from __future__ import annotations

import numpy as np
import pytest

from nervure.cluster import AEKMeans, DCAEKMeans, NeuralMixture, stability
from nervure.cluster.samples import known_labels, to_dataset
from nervure.data import from_arrays, load
from nervure.errors import InputError


class TestKnownLabels:
    def test_are_numbered_from_0(self) -> None:
        assert known_labels([7, -1, 3, 7], 4).tolist() == [1, -1, 0, 1]

    def test_groups_are_looked_up_by_the_label_as_given(self) -> None:
        labels = [0, 1, 2, 3, 5, 6, 7, 8, 9, -1]
        assert known_labels(labels, 10, (0,) * 5 + (1,) * 5).tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1, -1]

    @pytest.mark.parametrize(
        ("labels", "parents", "words"),
        [
            ([0, 1], (), "2,"),
            (["cat", "dog", "cat"], (), "whole numbers"),
            ([0.5, 1, 2], (), "whole numbers"),
            ([np.nan, 1, 2], (), "whole numbers"),
            ([0, -2, 1], (), "a label of -2"),
            ([-1, -1, -1], (), "fit without labels"),
            ([0, 1, 2], (0, 1), "2 groups for 3 labels"),
            ([0, 1, 2], (0, 1, -1), "groups from 0"),
        ],
    )
    def test_refuses_others(self, labels: list[object], parents: tuple[int, ...], words: str) -> None:
        with pytest.raises(InputError, match=words):
            known_labels(labels, 3, parents)

    def test_those_of_no_training_sample_are_unknown(self) -> None:
        train = np.array([0, 1, 2])
        assert known_labels([4, -1, 2, 4, 3], 5, train=train).tolist() == [1, -1, 0, 1, -1]
        assert known_labels([1, -1, 2, 3, 0], 5, (0, 1, 0, 1), train=train).tolist() == [1, -1, 0, 1, 0]
        with pytest.raises(InputError, match="no training sample has a known label"):
            known_labels([-1, -1, -1, 4, 3], 5, train=train)

    def test_of_held_out_samples_alone_are_refused(self) -> None:
        x = np.random.default_rng(0).normal(size=(40, 3))
        ds = from_arrays(x, splits={"train": np.arange(30), "test": np.arange(30, 40)})
        labels = np.where(np.arange(40) < 30, -1, 1)
        with pytest.raises(InputError, match="no training sample has a known label"):
            DCAEKMeans(2, epochs=1).fit(ds, labels=labels)
        with pytest.raises(InputError, match="no training sample has a known label"):
            stability(DCAEKMeans(2, epochs=1), ds, seeds=2, labels=labels)

    @pytest.mark.parametrize("given", [{3: 0}, {3: 1, 9: 1}, {3: 0, 4: 0, 35: 1}])
    def test_of_one_kind_teach_no_layer_anything(self, given: dict[int, int]) -> None:
        x, labels = np.random.default_rng(0).normal(size=(40, 3)), np.full(40, -1)
        labels[list(given)] = list(given.values())
        ds = from_arrays(x, splits={"train": np.arange(30), "test": np.arange(30, 40)})
        with pytest.raises(InputError, match="learns to tell labels apart; give at least two, or none"):
            DCAEKMeans(2, epochs=1).fit(ds, labels=labels)
        NeuralMixture(2, epochs=1).prepared(ds, labels)  # has a cluster for it


class TestSeriesOfUnequalLengths:
    @pytest.fixture(scope="class")
    def model(self) -> DCAEKMeans:
        rng = np.random.default_rng(0)
        series = [rng.normal(size=(2, length)) for length in (9, 12, 10) * 8]
        return DCAEKMeans(2, profile="quick", epochs=1, random_state=0).fit(series)

    def test_a_list_is_what_ends_in_nan(self, model: DCAEKMeans) -> None:
        new = [np.ones((2, 5)), np.zeros((2, 12))]
        padded = np.stack([np.pad(one, ((0, 0), (0, 12 - one.shape[1])), constant_values=np.nan) for one in new])
        assert model.run_.in_shape == (2, 12)
        np.testing.assert_array_equal(model.transform(new), model.transform(padded))

    def test_of_one_channel_need_no_axis_for_it(self) -> None:
        rng = np.random.default_rng(0)
        series = [rng.normal(size=length) for length in (9, 12, 10) * 8]
        model = DCAEKMeans(2, profile="quick", epochs=1, random_state=0).fit(series)
        assert model.run_.in_shape == (1, 12)
        assert (model.predict([one[None] for one in series]) == model.labels_).all()
        assert model.predict(series[1:2]).tolist() == model.labels_[1:2].tolist()
        assert model.predict(series[1::3]).tolist() == model.labels_[1::3].tolist()  # of one length

    @pytest.mark.parametrize("steps", [5, 20])
    def test_what_no_decoder_gives_back_has_no_score(self, model: DCAEKMeans, steps: int) -> None:
        x = np.ones((3, 2, steps), np.float32)
        assert model.predict(x).shape == (3,)
        with pytest.raises(InputError, match=f"series of {steps} steps, and the decoder gives back 12"):
            model.score(x)


class TestToDataset:
    X = np.random.default_rng(0).normal(size=(40, 3))

    def test_names_of_a_data_frame_stay(self) -> None:
        pandas = pytest.importorskip("pandas")
        model = DCAEKMeans(2)
        assert to_dataset(model, pandas.DataFrame(self.X, columns=list("abc")), None).columns == ("a", "b", "c")
        assert to_dataset(model, np.ones((9, 2, 7)), None).columns == ()
        assert to_dataset(model, self.X, None).columns == ()

    def test_scaling_beside_a_dataset_is_refused(self) -> None:
        ds = from_arrays(self.X, validation=0, test=0)
        with pytest.raises(InputError, match="^scaling='min-max': arrays is a Dataset, .* standardize='min-max'$"):
            DCAEKMeans(2, scaling="min-max", epochs=1).fit(ds)
        assert to_dataset(DCAEKMeans(2), ds, None) is ds

    @pytest.mark.parametrize("scaling", ["min-max", "unit", "standard", False])
    def test_scaling_that_arrays_were_given_is_not(self, scaling: str | bool) -> None:
        ds = from_arrays(self.X, validation=0, test=0, standardize=scaling)
        assert to_dataset(DCAEKMeans(2), ds, scaling) is ds
        with pytest.raises(InputError, match="a Dataset, made with a scaling of its own"):
            to_dataset(DCAEKMeans(2), ds, "min-max" if scaling == "standard" else "standard")

    def test_scaling_that_a_dataset_was_made_with_is_not(self) -> None:
        loaded = load("digits", standardize="unit")
        assert to_dataset(DCAEKMeans(2), loaded, "unit") is loaded
        made = to_dataset(DCAEKMeans(2), self.X, "min-max")
        assert made.preprocessing.clip
        assert len(to_dataset(DCAEKMeans(2), made.subset(range(9)), "min-max")) == 9

    def test_fits_of_several_seeds_scale_as_one(self) -> None:
        model = AEKMeans(2, scaling="min-max", epochs=1, network_options={"widths": [4]})
        assert len(stability(model, self.X, seeds=2).seeds) == 2
