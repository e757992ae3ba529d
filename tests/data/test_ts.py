from __future__ import annotations

import numpy as np
import pytest

from nervure.data import load
from nervure.errors import InputError

HEAD = "# a comment\n@problemName Waves\n@timeStamps false\n@univariate false\n@classLabel true 10 9\n@data\n"


def test_multivariate_unequal_and_missing(write):
    text = HEAD + "1,2,3:4,5,6:10\n\n1,2:3,4:9\n1,2,?:4,5,?:10\n0,0,0:0,0,0:?\n"
    ds = load(write.text("w.ts", text), validation=0, test=0, standardize=False)
    assert (ds.x.shape, ds.names, ds.kind) == ((4, 2, 3), ("9", "10"), "series")
    assert ds.y.tolist() == [1, 0, 1, -1]
    assert ds.mask.sum(1).tolist() == [3, 2, 2, 3]
    np.testing.assert_array_equal(ds.x[0], [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(ds.x[1], [[1, 2, 0], [3, 4, 0]])


@pytest.mark.parametrize("given", ["w/W_TRAIN.ts", "w"])
def test_the_test_file_beside_a_training_file(write, given):
    write.text("w/W_TRAIN.ts", HEAD + "1,2:3,4:10\n2,1:1,1:9\n0,1:1,0:9\n")
    write.text("w/W_TEST.ts", HEAD + "1,2,3:3,4,5:9\n")
    ds = load(write.folder / given, validation=0)
    assert ds.x.shape == (4, 2, 3)
    assert ds.splits["test"].tolist() == [3]
    assert load(write.folder / "w/W_TEST.ts", task="none", test=0, validation=0).x.shape == (1, 2, 3)


def test_targets_and_no_labels(write):
    ds = load(write.text("r.ts", "@targetLabel true\n@data\n1,2:0.5\n3,4:-1e3\n"), validation=0, test=0)
    assert (ds.task, ds.y.tolist()) == ("regression", [0.5, -1000.0])
    ds = load(write.text("n.ts", "@classLabel false\n@data\n1,2\n3,4\n"), validation=0, test=0)
    assert (ds.task, ds.x.shape) == ("none", (2, 1, 2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no @data line"),
        ("@problemName a\n", "no @data line"),
        ("1,2:3\n", "line 1: cases begin before"),
        (HEAD, "holds no samples"),
        (HEAD + "1,2:3,4:8\n", "line 7: label '8' is none of its classes: 10, 9"),
        (HEAD + "1,2:3,4:10\n1,x:3,4:9\n", "line 8: 'x' is not a number"),
        (HEAD + "10\n", "has no values"),
        (HEAD + "1,2:3,4:10\n1,2:9\n", "series 1 has 1 channels where the first has 2"),
        (HEAD + "1,?,3:3,4,5:10\n1,2:1,2:9\n", r"sample 0 is NaN at \(0, 1\)"),
        (HEAD + "1,2,3:3,4:10\n1,2:1,2:9\n", r"sample 0 is NaN at \(1, 2\)"),
        (HEAD + "1,1e99:3,4:10\n1,2:1,2:9\n", "sample 0 is infinite"),
        (HEAD + "1,2:1,2:9\n1,2:1,2:9\n", None),
        (HEAD.replace("Stamps false", "Stamps true") + "(0,1):9", "time stamps"),
    ],
)
def test_bad_files(write, text, message):
    path = write.text("a.ts", text)
    if message is None:
        assert load(path, validation=0, test=0).names == ("9", "10")
        return
    with pytest.raises(InputError, match=message):
        load(path)


@pytest.mark.parametrize(
    ("head", "labels", "names"),
    [
        ("true -1 1", "-1 1 -1", ("-1", "1")),
        ("true", "-1 1 -1", ("-1", "1")),
        ("true -1 0 1", "-1 0 1", ("-1", "0", "1")),
        ("true", "-1 0 1", ("0", "1")),
    ],
)
def test_minus_one_is_a_class_where_it_is_listed_or_one_of_two(write, head, labels, names):
    rows = "".join(f"1,2:{label}\n" for label in labels.split())
    assert load(write.text("a.ts", f"@classLabel {head}\n@data\n{rows}"), validation=0, test=0).names == names


def test_a_class_as_long_as_a_text_is_refused(write):
    path = write.text("a.ts", f"@classLabel true\n@data\n1,2:a\n1,2:{'b' * 300}\n")
    with pytest.raises(InputError, match="a label has 300 characters"):
        load(path)


def test_bytes_that_are_no_text(write):
    path = write.folder / "a.ts"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="cannot be read as text"):
        load(path)


def test_a_pair_with_labels_in_one_file_only(write):
    write.text("W_TRAIN.ts", HEAD + "1:2:10\n1:2:9\n")
    write.text("W_TEST.ts", "@data\n1:2\n")
    with pytest.raises(InputError, match="one of its two files has labels"):
        load(write.folder / "W_TRAIN.ts")


def test_a_mark_within_a_line_does_not_end_it(write):
    text = "# a\u2028b\x0cc\n" + HEAD + "1,x:3,4:10\n"
    with pytest.raises(InputError, match="line 8: 'x' is not a number"):
        load(write.text("a.ts", text))
