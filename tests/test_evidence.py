import contextlib
import dataclasses
import json
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nervure.errors import InputError
from nervure.evidence import Bars, Curve, Figure, Flow, Images, Matrix, Scatter, Table, load, save

FAST = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
WORDS = st.lists(TEXT, max_size=4)
NUMBERS = st.sampled_from([np.float32, np.float64, np.int64, np.uint8])


def arrays(ndim, dtype=NUMBERS):
    return dtype.flatmap(lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=ndim, max_dims=ndim, min_side=0)))


def maybe(strategy):
    return st.none() | strategy


BYTES = arrays(4, st.just(np.uint8))
CELL = st.none() | TEXT | st.integers(-(2**60), 2**60) | st.floats(allow_infinity=False)
COMMON = {"title": TEXT, "alt": TEXT}
SPREAD = maybe(arrays(2))
FIGURES = st.one_of(
    st.builds(Curve, **COMMON, x=arrays(1), y=arrays(2), spread=SPREAD, labels=WORDS, log_y=st.booleans()),
    st.builds(Matrix, **COMMON, values=arrays(2), rows=WORDS, columns=WORDS, counts=st.booleans()),
    st.builds(Bars, **COMMON, values=arrays(2), spread=SPREAD, bars=WORDS, series=WORDS, y_label=TEXT),
    st.builds(
        Scatter,
        **COMMON,
        points=arrays(2),
        groups=maybe(arrays(1)),
        thumbnails=maybe(BYTES),
        labels=WORDS,
        hover=WORDS,
    ),
    st.builds(Images, **COMMON, pictures=BYTES, captions=WORDS, columns=st.integers(1, 20), framed=maybe(arrays(1))),
    st.builds(Table, **COMMON, columns=WORDS, rows=st.lists(st.lists(CELL, max_size=3), max_size=4)),
    st.builds(Flow, **COMMON, steps=WORDS, before=arrays(1), after=maybe(arrays(1))),
    st.builds(
        Figure,
        **COMMON,
        kind=st.sampled_from(["rose", "tree"]),
        data=st.dictionaries(st.sampled_from(["a", "b c", "data.x", "figure"]), arrays(2), max_size=3),
        notes=st.dictionaries(TEXT, TEXT, max_size=3),
    ),
)


def assert_same(one, two):
    assert type(one) is type(two)
    for field in dataclasses.fields(one):
        left, right = getattr(one, field.name), getattr(two, field.name)
        if field.name == "data":
            assert left.keys() == right.keys()
            pairs = [(left[key], right[key]) for key in left]
        elif field.name == "rows" and isinstance(one, Table):
            assert repr(left) == repr(right)
            continue
        else:
            pairs = [(left, right)]
        for first, second in pairs:
            if isinstance(first, np.ndarray):
                assert first.dtype == second.dtype
                np.testing.assert_array_equal(first, second)
            else:
                assert first == second, field.name


class TestRoundTrip:
    @FAST
    @given(figure=FIGURES)
    def test_what_was_saved_comes_back(self, tmp_path, figure):
        save(tmp_path / "figure.npz", figure)
        assert_same(load(tmp_path / "figure.npz"), figure)

    def test_the_file_opens_with_numpy_alone(self, tmp_path):
        save(tmp_path / "figure.npz", Flow(title="widths", alt="", steps=["a"], before=[3]))
        with np.load(tmp_path / "figure.npz", allow_pickle=False) as file:
            assert json.loads(str(file["figure"]))["title"] == "widths"
            assert file["before"].tolist() == [3]

    def test_nan_and_infinity_stay(self, tmp_path):
        save(tmp_path / "a.npz", Table(title="t", alt="", columns=["x"], rows=[[np.nan], [np.inf], [None]]))
        rows = load(tmp_path / "a.npz").rows
        assert np.isnan(rows[0][0])
        assert rows[1:] == ((np.inf,), (None,))


class TestForm:
    def test_each_kind_names_itself(self):
        kinds = [Curve, Matrix, Bars, Scatter, Images, Table, Flow]
        assert [kind.name for kind in kinds] == [
            "curve",
            "matrix",
            "bars",
            "scatter",
            "images",
            "table",
            "flow",
        ]
        assert Matrix(title="", alt="", values=[[1]], kind="something-else").kind == "matrix"

    def test_sequences_become_arrays_and_words(self):
        bars = Bars(title="", alt="", values=[[1, 2]], bars=[3, 4])
        assert bars.values.shape == (1, 2)
        assert bars.bars == ("3", "4")

    def test_a_figure_cannot_be_changed(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            Flow(title="", alt="", before=[1]).title = "new"

    def test_numbers_of_numpy_become_plain(self, tmp_path):
        table = Table(title="", alt="", columns=["a"], rows=[[np.int64(3), np.float32(0.5), np.bool_(True)]])
        assert [type(cell) for cell in table.rows[0]] == [int, float, bool]
        images = Images(title="", alt="", pictures=np.zeros((1, 1, 2, 2), np.uint8), columns=np.int64(5))
        save(tmp_path / "a.npz", images)
        assert load(tmp_path / "a.npz").columns == 5


class TestBadFiles:
    @pytest.fixture
    def whole(self, tmp_path):
        rng = np.random.default_rng(0)
        save(tmp_path / "whole.npz", Matrix(title="t", alt="", values=rng.normal(size=(20, 20))))
        return (tmp_path / "whole.npz").read_bytes()

    @pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
    def test_a_truncated_file_is_refused(self, tmp_path, whole, share):
        (tmp_path / "cut.npz").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(InputError, match=r"cut\.npz: not a figure that Nervure wrote"):
            load(tmp_path / "cut.npz")

    @FAST
    @given(at=st.floats(0, 1, exclude_max=True))
    def test_a_changed_byte_never_escapes_as_another_error(self, tmp_path, whole, at):
        changed = bytearray(whole)
        changed[int(at * len(whole))] ^= 0xFF
        (tmp_path / "changed.npz").write_bytes(changed)
        with contextlib.suppress(InputError):
            load(tmp_path / "changed.npz")

    def test_a_changed_value_is_refused(self, tmp_path, whole):
        name = b"values.npy"
        changed = bytearray(whole)
        changed[whole.index(name) + len(name) + 300] ^= 0xFF
        (tmp_path / "changed.npz").write_bytes(changed)
        with pytest.raises(InputError):
            load(tmp_path / "changed.npz")

    @pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04"])
    def test_something_else_is_refused(self, tmp_path, content):
        (tmp_path / "other.npz").write_bytes(content)
        with pytest.raises(InputError, match="not a figure"):
            load(tmp_path / "other.npz")

    def test_a_missing_file_is_refused(self, tmp_path):
        with pytest.raises(InputError, match=r"none\.npz"):
            load(tmp_path / "none.npz")

    def test_an_array_alone_is_refused(self, tmp_path):
        np.save(tmp_path / "array.npy", np.arange(3))
        with pytest.raises(InputError, match="not a figure"):
            load(tmp_path / "array.npy")

    def test_more_than_any_figure_has_is_refused_both_ways(self, tmp_path, monkeypatch):
        matrix = Matrix(title="zeros", alt="", values=np.zeros((100, 100)))
        save(tmp_path / "a.npz", matrix)
        monkeypatch.setattr("nervure.evidence.MOST", 50_000)
        with pytest.raises(InputError, match="larger than"):
            load(tmp_path / "a.npz")
        with pytest.raises(InputError, match="show fewer samples"):
            save(tmp_path / "b.npz", matrix)
        assert not (tmp_path / "b.npz").exists()

    def test_an_archive_without_header_is_refused(self, tmp_path):
        np.savez(tmp_path / "plain.npz", values=np.eye(2))
        with pytest.raises(InputError, match="not a figure"):
            load(tmp_path / "plain.npz")

    @pytest.mark.parametrize(
        "header",
        [
            {"kind": "matrix"},
            {"kind": "matrix", "title": "", "alt": "", "colour": "red"},
            {"title": "", "alt": ""},
            [1],
        ],
    )
    def test_a_header_of_another_form_is_refused(self, tmp_path, header):
        np.savez(tmp_path / "a.npz", figure=np.asarray(json.dumps(header)), values=np.eye(2))
        with pytest.raises(InputError, match="not a figure"):
            load(tmp_path / "a.npz")


class TestNoPickle:
    def test_objects_are_refused_on_the_way_in(self, tmp_path):
        objects = np.array([{"a": 1}], dtype=object)
        with pytest.raises(InputError, match="Python objects"):
            save(tmp_path / "a.npz", Figure(title="t", alt="", kind="rose", data={"x": objects}))
        assert not (tmp_path / "a.npz").exists()

    def test_a_pickle_in_the_archive_does_not_run(self, tmp_path):
        class Trap:
            def __reduce__(self):
                return (tmp_path.joinpath("sprung").touch, ())

        trapped = np.empty(1, dtype=object)
        trapped[0] = Trap()
        header = np.asarray(json.dumps({"kind": "flow", "title": "", "alt": ""}))
        np.savez(tmp_path / "trap.npz", figure=header, before=trapped)
        with pytest.raises(InputError):
            load(tmp_path / "trap.npz")
        assert not (tmp_path / "sprung").exists()

    def test_a_saved_file_holds_no_pickle(self, tmp_path):
        save(tmp_path / "a.npz", Table(title="t", alt="", columns=["a"], rows=[["x", 1, None]]))
        with zipfile.ZipFile(tmp_path / "a.npz") as file:
            heads = [file.read(name)[:128] for name in file.namelist()]
        assert not any(b"'O'" in head or b"|O" in head for head in heads)
