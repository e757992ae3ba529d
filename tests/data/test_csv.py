from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from nervure.data import load
from nervure.data.csv import read_points
from nervure.data.windows import windows
from nervure.errors import InputError

ROWS = "t0,t1,t2,label\n1,2,3,up\n4,5,6,down\n7,8,,up\n"
STEPS = "date,a,b\n" + "".join(f"2020-01-{day:02},{day},{day * day}\n" for day in range(1, 31))


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_one_series_a_row(write, name):
    ds = load(write.text(name, ROWS), validation=0, test=0)
    assert (ds.kind, ds.x.shape, ds.names, ds.y.tolist()) == ("series", (3, 1, 3), ("down", "up"), [1, 0, 1])
    assert ds.mask.sum(1).tolist() == [3, 3, 2]


def test_label_by_number_without_a_header_and_tabs(write):
    path = write.text("B_TRAIN.tsv", "2\t0.5\t1\n1\t0.25\t2\n2\t1\t1\n")
    ds = load(path, label=0, validation=0, test=0)
    assert (ds.x.shape, ds.names, ds.y.tolist()) == ((3, 1, 2), ("1", "2"), [1, 0, 1])
    path = write.text("b.csv", "0.5,1,b\n0.25,2,a\n1,2,b\n")
    assert load(path, label=-1, validation=0, test=0).y.tolist() == [1, 0, 1]


def test_targets_and_tables(write):
    path = write.text("a.csv", "u,v,price\n1,2,0.5\n3,4,1.5\n5,6,7\n")
    ds = load(path, target="price", kind="table", validation=0, test=0)
    assert (ds.kind, ds.x.shape, ds.task, ds.y.tolist()) == ("table", (3, 2), "regression", [0.5, 1.5, 7.0])
    assert load(path, target=["v", "price"], validation=0, test=0).y.shape == (3, 2)


class TestTheHeaderDecides:
    PEOPLE = "age,income,label\n30,45000,a\n41,52000,b\n29,38000,a\n"

    def test_named_columns_are_features(self, write):
        ds = load(write.text("a.csv", self.PEOPLE), validation=0, test=0)
        assert (ds.kind, ds.in_shape, ds.columns, ds.y.tolist()) == ("table", (2,), ("age", "income"), [0, 1, 0])
        np.testing.assert_allclose(ds.preprocessing.mean, [100 / 3, 45000])

    def test_of_targets_and_a_column_left_out(self, write):
        ds = load(write.text("a.csv", self.PEOPLE), target="income", skip="label", validation=0, test=0)
        assert (ds.kind, ds.columns, ds.y.tolist()) == ("table", ("age",), [45000, 52000, 38000])

    @pytest.mark.parametrize("option", [{"kind": "series"}, {"layout": "t"}])
    def test_unless_it_is_told(self, write, option):
        ds = load(write.text("a.csv", self.PEOPLE), validation=0, test=0, **option)
        assert (ds.kind, ds.in_shape, ds.columns) == ("series", (1, 2), ())

    @pytest.mark.parametrize("option", [{"kind": "table"}, {"layout": "f"}])
    def test_unless_numbered_steps_are_told_to_be_features(self, write, option):
        ds = load(write.text("a.csv", ROWS.replace(",,", ",9,")), validation=0, test=0, **option)
        assert (ds.kind, ds.in_shape, ds.columns) == ("table", (3,), ("t0", "t1", "t2"))

    def test_not_of_windows(self, write, caplog):
        ds = load(write.text("a.csv", STEPS), window=5)
        assert (ds.kind, ds.in_shape, ds.columns) == ("series", (2, 5), ("a", "b"))
        assert not [line for line in caplog.messages if "is read as" in line]

    def test_a_feature_that_is_missing_is_refused(self, write):
        with pytest.raises(InputError, match=r"line 3: column 'income' is ''; .*kind='series' a row may end early"):
            load(write.text("a.csv", self.PEOPLE.replace("52000", "")))

    def test_without_one_it_is_a_guess(self, write, caplog):
        assert load(write.text("a.csv", "1,2,3\n4,5,6\n"), validation=0, test=0).kind == "series"
        assert "a.csv: each row is read as a series of 3 time steps" in caplog.text


@pytest.mark.parametrize("top", ["0,1,2,label", ",0,1,2,label"])
def test_the_numbered_columns_of_a_data_frame_are_a_header(write, top):
    indexed = top.startswith(",")
    rows = "".join(f"{f'{n},' if indexed else ''}{n}.5,1,2,{'ab'[n % 2]}\n" for n in range(4))
    ds = load(write.text("a.csv", f"{top}\n{rows}"), validation=0, test=0, **({"skip": 0} if indexed else {}))
    assert (ds.kind, ds.x[:, 0, 0].tolist(), ds.y.tolist()) == ("series", [0.5, 1.5, 2.5, 3.5], [0, 1, 0, 1])
    assert ds.columns == ()


def test_a_first_sample_that_counts_is_one_when_told(write):
    path = write.text("a.csv", "0,1,2\n3,4,5\n")
    assert len(load(path, validation=0, test=0)) == 1
    assert load(path, header=False, validation=0, test=0).x[:, 0].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_rows_of_unlike_length_are_padded(write):
    ds = load(write.text("a.csv", "1,2,3\n4\n5,6\n"), validation=0, test=0)
    assert ds.mask.sum(1).tolist() == [3, 1, 2]


def test_windows_to_forecast(write):
    ds = load(write.text("a.csv", STEPS), window=5, horizon=2, target="b")
    assert (ds.x.shape, ds.y.shape, ds.task) == ((24, 2, 5), (24, 2), "regression")
    for k in (0, 7, 23):
        days = np.arange(k + 1, k + 6)
        np.testing.assert_array_equal(ds.x[k], [days, days**2])
        np.testing.assert_array_equal(ds.y[k], np.array([k + 6, k + 7]) ** 2)
    rows = {name: {r for k in at for r in range(k, k + 7)} for name, at in ds.splits.items()}
    assert max(rows["train"]) < min(rows["validation"])
    assert max(rows["validation"]) < min(rows["test"])


def test_windows_over_all_columns_with_stride_and_with_labels(write):
    path = write.text("a.csv", STEPS)
    ds = load(path, window=4, horizon=3, stride=3)
    assert (ds.x.shape, ds.y.shape) == ((8, 2, 4), (8, 2, 3))
    np.testing.assert_array_equal(ds.x[2, 0], [7, 8, 9, 10])
    np.testing.assert_array_equal(ds.y[2, 0], [11, 12, 13])
    assert load(path, window=4).task == "none"
    text = "v,state\n" + "".join(f"{n},{'on' if n % 4 < 2 else 'off'}\n" for n in range(40))
    ds = load(write.text("s.csv", text), window=3, label="state", stride=2)
    assert (ds.in_shape, ds.names) == ((1, 3), ("off", "on"))
    assert all(ds.names[y] == ("on" if x[0, -1] % 4 < 2 else "off") for x, y in zip(ds.x, ds.y, strict=True))


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "holds no samples"),
        ("a,b\n", {}, "below its header"),
        ("t0,t1,label\n1,x,up\n", {}, "line 2: column 't1' is 'x', not a number"),
        (ROWS, {"label": "labl"}, "no column 'labl'; did you mean 'label'"),
        (ROWS, {"label": 9}, "no column 9; it has 4"),
        (ROWS, {"label": "label", "target": "t0"}, "not both"),
        (ROWS, {"horizon": 2}, "horizon= needs window="),
        (ROWS, {"lable": "label"}, "unknown option 'lable'; did you mean 'label'"),
        (ROWS.replace("down", "up"), {}, "only the class 'up'"),
        ("1,,3\n4,5,6\n", {}, "sample 0 is NaN"),
        ("a\n1\n2\n", {"target": "a"}, "no column is left"),
        (STEPS, {"window": 40}, "30 rows are too few"),
        (STEPS, {"window": 0}, "window = 0"),
        (STEPS, {"window": 4, "target": "date"}, "'date' does not hold numbers"),
        (STEPS.replace(",9\n", ",\n"), {"window": 4}, "line 4: a value is missing"),
        (STEPS.replace(",9\n", ",x\n"), {"window": 4}, "line 4: column 'b' is 'x', not a number; .* skip='b'"),
        (STEPS.replace(",1,1\n", ",1,n/a\n"), {"window": 4}, "line 2: column 'b' is 'n/a', not a number"),
        ("d;a;b\nx;1;21,5\ny;2;22,5\n", {"window": 1}, "line 2: column 'b' is '21,5', .* decimals with a point"),
        ("d;a;b\nx;1;21\ny;2;22,5\n", {"window": 1}, "line 3: column 'b' is '22,5', .* decimals with a point"),
        ("21,5;3,2\n20,5;3,1\n", {"window": 1}, "line 1: column '1' is '5;3', .* decimals with a point"),
        ("u;label\n1,5;a\n2,5;b\n", {}, "line 2: column 'u' is '1,5', .* decimals with a point"),
        ("u,label,label\n1,a,0\n2,b,1\n", {}, "'label' and 'label' both hold labels; .* skip="),
        ("u,class,Label\n1,a,0\n2,b,1\n", {}, "'class' and 'Label' both hold labels; .* skip="),
        ("u,class,label\n1,a,0\n2,b,1\n", {"label": "class"}, "'class' and 'label' both hold labels"),
        ("u,class,label\n1,a,0\n2,b,1\n", {"window": 1}, "'class' and 'label' both hold labels"),
        ("u,y,y\n1,a,0\n2,b,1\n", {"label": "y"}, "columns 1 and 2 are both called 'y'; rename one"),
        ("u,y,y\n1,a,0\n2,b,1\n", {"label": 2}, "columns 1 and 2 are both called 'y'; rename one"),
        (f"u,label\n1,a\n2,{'b' * 300}\n", {}, "a label has 300 characters"),
        (STEPS.replace(",9\n", "\n"), {"window": 4}, "line 4: 2 cells where there should be 3"),
        ("a\nx\ny\nz\n", {"window": 2}, "no column holds numbers"),
        (STEPS, {"window": 4.5}, "window = 4.5; give a valid integer"),
        (STEPS.replace(",9\n", ",9,1,1\n"), {"window": 4}, "line 4: 5 cells where there should be 3"),
        (ROWS, {"kind": "table"}, "line 4: column 't2' is ''; fill it in"),
        ("u,v\n1,2\n3,4,5\n", {"kind": "table"}, "line 3: 3 cells where there should be 2"),
        (",u,label\n0,1,a\n1,2,b\n", {}, "column 0 has no name in the header; .* skip=0"),
        ('u,label\n1,"a\n2,b\n', {}, "cannot be read as .csv"),
        ("t0,t1,label\n1,2,a\n3,b\n", {}, "line 3: ends before column 'label'"),
        ("t0,t1,label\n\n1,2,a\n\n3,x,b\n", {}, "line 5: column 't1' is 'x'"),
        ('t0,label\n1,"a\n\nb"\nx,c\n', {}, "line 5: column 't0' is 'x'"),
        ("age,income\n\n1,2\n3,\n", {}, "line 4: column 'income' is ''"),
        ("a,b\n\n1,2\n3,\n", {"window": 1}, "line 4: a value is missing"),
        ("a,b\n\n1,2\n3\n", {"window": 1}, "line 4: 1 cells where there should be 2"),
    ],
)
def test_bad_files_and_options(write, text, options, message):
    with pytest.raises(InputError, match=message):
        load(write.text("a.csv", text), **options)


@pytest.mark.parametrize("mark", [";", "\t"])
def test_semicolons_and_tabs(write, mark):
    ds = load(write.text("a.csv", ROWS.replace(",", mark)), validation=0, test=0)
    assert (ds.x.shape, ds.names) == ((3, 1, 3), ("down", "up"))


def test_row_numbers_of_a_data_frame_are_left_out_when_asked(write):
    path = write.text("a.csv", ",u,label\n0,1.5,a\n1,2.5,b\n")
    ds = load(path, skip=0, kind="table", validation=0, test=0)
    assert (ds.x.tolist(), ds.y.tolist()) == ([[1.5], [2.5]], [0, 1])


def test_numbers_too_large_for_whole_ones_are_names(write):
    ds = load(write.text("a.csv", f"u,label\n1,{10**30}\n2,7\n"), validation=0, test=0)
    assert ds.names == ("7", str(10**30))


BIRD = "t,ax,ay,az,label,bird\n" + "".join(
    f"{n / 25},{n},{-n},1,{'fly' if n % 10 > 6 else 'swim'},{'b' if n >= 30 else 'a'}\n" for n in range(60)
)


class TestPoints:
    def test_row_by_row(self, write):
        found = read_points(write.text("bird.csv", BIRD), recording="bird")
        np.testing.assert_array_equal(found.values[:, :2], np.stack([np.arange(60), -np.arange(60)], axis=1))
        assert (found.values.shape, found.names) == ((60, 3), ("fly", "swim"))
        assert found.labels.tolist() == [0 if n % 10 > 6 else 1 for n in range(60)]
        assert found.recordings.tolist() == [0] * 30 + [1] * 30

    def test_columns_by_choice(self, write):
        path = write.text("bird.csv", BIRD)
        found = read_points(path, values=["az", "t"], label="bird")
        np.testing.assert_allclose(found.values[:2], [[1, 0], [1, 0.04]])
        assert found.names == ("a", "b")
        plain = read_points(write.text("plain.csv.gz", "1,2\n3,4\n"))
        assert (plain.values.tolist(), plain.labels, plain.recordings.tolist()) == ([[1, 2], [3, 4]], None, [0, 0])

    def test_to_windows(self, write):
        found = read_points(write.text("bird.csv", BIRD), recording="bird")
        ds = windows(
            found.values, found.labels, length=10, stride=5, recordings=found.recordings, names=found.names, test=0
        )
        assert ds.items == ("0", "5", "10", "15", "20", "30", "35", "40", "45", "50")
        assert set(ds.y) == {1}

    def test_channels_keep_their_names(self, write):
        path = write.text("bird.csv", BIRD)
        found = read_points(path, recording="bird", values=["ax", "az"])
        assert found.columns == ("ax", "az")
        assert windows(found.values, length=10, stride=5, columns=found.columns).columns == ("ax", "az")
        assert read_points(write.text("plain.csv", "1,2\n3,4\n")).columns == ()

    def test_bad_input(self, write):
        path = write.text("bird.csv", BIRD)
        with pytest.raises(InputError, match="no column 'aw'; did you mean"):
            read_points(path, values=["aw"])
        with pytest.raises(InputError, match="column 'bird' does not hold numbers"):
            read_points(path, values=["ax", "bird"])
        with pytest.raises(InputError, match="line 3: a value is missing"):
            read_points(write.text("gap.csv", "ax,label\n1,u\n,v\n2,u\n"))


def test_no_window_crosses_a_recording(write):
    rows = [f"{step},{bird},{step * 10},{'rest' if step < 5 else 'fly'}" for bird in (7, 8) for step in range(8)]
    path = write.text("birds.csv", "time,bird,ax,state\n" + "\n".join(rows))
    whole = {"recording": "bird", "standardize": False, "validation": 0.0, "test": 0.0}
    ds = load(path, window=3, stride=2, label="state", **whole)
    assert ds.x[:, 0].tolist() == [[0, 10, 20], [20, 30, 40], [40, 50, 60]] * 2
    assert [ds.names[one] for one in ds.y] == ["rest", "rest", "fly"] * 2
    ahead = load(path, window=3, horizon=2, target="ax", stride=3, **whole)
    assert ahead.x.shape == (4, 1, 3)
    assert ahead.y.tolist() == [[30, 40], [60, 70]] * 2
    with pytest.raises(InputError, match="too few, in one recording, for a window of 9"):
        load(path, window=9, recording="bird")
    with pytest.raises(InputError, match="recording= needs window="):
        load(path, recording="bird")


def test_windows_without_the_clock(write):
    path = write.text("bird.csv", BIRD)
    ds = load(path, window=10, stride=3, label="label", skip=["t", "bird"])
    assert ds.in_shape == (3, 10)
    np.testing.assert_array_equal(ds.x[2, 0], np.arange(6, 16))
    with pytest.raises(InputError, match="no column 'clock'"):
        load(path, window=10, skip="clock")


def test_a_clock_that_is_the_target_is_a_channel(write):
    rows = "time,T,load\n" + "\n".join(f"{n},{20 + n},{n * n}" for n in range(12))
    ds = load(write.text("weather.csv", rows), window=4, target="T", standardize=False, validation=0.0, test=0.0)
    assert (ds.in_shape, ds.x[0, 0].tolist(), ds.y[0].tolist()) == ((2, 4), [20, 21, 22, 23], [24])


def test_what_holds_no_numbers_is_left_out_and_told(write, caplog):
    ds = load(write.text("a.csv", "when,a,b,c\n" + "x,1,,NA\n" * 20), window=5)
    assert (ds.in_shape, ds.columns) == ((1, 5), ("a",))
    assert [line.partition("a.csv: ")[2] for line in caplog.messages] == [
        "left out the columns that hold no numbers: when, b, c"
    ]


class TestLabelsOfWindows:
    ROWS = "a,label\n" + "".join(f"{n},{n // 5 % 2 + 1}\n" for n in range(40))

    def test_are_no_channel(self, write):
        ds = load(write.text("a.csv", self.ROWS), window=5, stride=5)
        assert (ds.in_shape, ds.columns, ds.names) == ((1, 5), ("a",), ("1", "2"))
        assert ds.y.tolist() == [0, 1] * 4

    def test_are_read_as_those_of_points(self, write):
        path = write.text("a.csv", self.ROWS)
        points, ds = read_points(path), load(path, window=1)
        assert (points.values[:, 0].tolist(), points.labels.tolist()) == (ds.x[:, 0, 0].tolist(), ds.y.tolist())

    def test_are_a_channel_where_they_are_forecast(self, write):
        ds = load(write.text("a.csv", self.ROWS), window=4, target="label")
        assert (ds.columns, ds.y[0]) == (("a", "label"), 1)

    def test_are_told_apart_by_the_whole_column(self, write, caplog):
        rows = "a,label\n" + "".join(f"{n},{label}\n" for n, label in enumerate([0, -1, 1, 0, 2, 2] * 4))
        path = write.text("a.csv", rows)
        ds = load(path, window=2, stride=2, validation=0, test=0)
        assert (ds.y.tolist(), ds.names) == ([-1, 0, 1] * 4, ("0", "2"))
        ds = load(path, window=2, stride=2, label_by="majority", validation=0, test=0)
        assert (ds.y.tolist(), ds.names) == ([0, 0, 1] * 4, ("0", "2"))
        assert sum("4 of 24 labels are -1" in line for line in caplog.messages) == 2


@pytest.mark.parametrize("name", ["F_TRAIN.tsv", "f.csv"])
def test_classes_of_minus_one_and_one_stay_two(write, name):
    mark = "\t" if name.endswith(".tsv") else ","
    path = write.text(name, "".join(f"{2 * (n % 2) - 1},{n},1\n".replace(",", mark) for n in range(6)))
    ds = load(path, label=0, validation=0, test=0)
    assert (ds.names, ds.y.tolist()) == (("-1", "1"), [0, 1] * 3)


def test_minus_one_is_unknown_beside_two_classes_and_told(write, caplog):
    path = write.text("a.csv", "t0,t1,label\n" + "".join(f"1,2,{n % 3 - 1}\n" for n in range(30)))
    ds = load(path, validation=0, test=0)
    assert (ds.names, (ds.y < 0).sum()) == (("0", "1"), 10)
    assert "10 of 30 labels are -1 and count as unknown" in caplog.text
    assert load(path, validation=0, test=0, task="regression").y.tolist() == [-1, 0, 1] * 10


def test_one_long_cell_takes_no_room_of_the_others(write):
    rows = [["1", "2"]] * 3000
    rows[7] = ["1", "9" * 30_000]
    path = write.text("a.csv", "t0,t1\n" + "".join(f"{one},{other}\n" for one, other in rows))
    tracemalloc.start()
    with pytest.raises(InputError, match="infinite"):
        load(path, validation=0, test=0)
    with pytest.raises(InputError, match="line 9: a value is missing or infinite"):
        load(path, window=2)
    assert tracemalloc.get_traced_memory()[1] < 2**25
    tracemalloc.stop()


def test_majority_of_rows(write):
    rows = "a,label\n" + "".join(f"{n},{label}\n" for n, label in enumerate("uuvvvuu?vv"))
    path = write.text("a.csv", rows)
    found = load(path, window=3, stride=3, label="label", label_by="majority", validation=0, test=0)
    assert [found.names[one] for one in found.y] == ["u", "v", "u"]
    with pytest.raises(InputError, match="label_by = 'first'; give 'last' or 'majority'"):
        load(path, window=3, label="label", label_by="first")
