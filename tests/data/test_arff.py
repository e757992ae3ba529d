from __future__ import annotations

import numpy as np
import pytest
from scipy.io import arff

from nervure.data import load
from nervure.errors import InputError

FLAT = """% a comment
@relation 'beats'
@attribute att0 numeric
@ATTRIBUTE att1 REAL
@attribute 'att 2' numeric
@attribute target {1,2,long}

@data
1.0, 2.5,3,1
% another
-1,0,1e2,long
7,8,?,2
"""
RELATIONAL = """@relation waves
@attribute rel relational
  @attribute t0 numeric
  @attribute t1 numeric
  @attribute t2 numeric
@end rel
@attribute class {up,down}
@data
'1,2,3\\n4,5,6',up
"7,8,?\\n9,10,?",down
"""


def test_flat_agrees_with_scipy(write):
    path = write.text("a.arff", FLAT)
    ds = load(path, validation=0, test=0)
    peer, _ = arff.loadarff(path)
    values = np.array([[row[name] for name in ("att0", "att1", "att 2")] for row in peer])
    np.testing.assert_allclose(np.where(ds.mask, ds.x[:, 0], np.nan), values, rtol=1e-6)
    assert [ds.names[label] for label in ds.y] == [row["target"].decode() for row in peer]


def test_quoted_names(write):
    text = FLAT.replace("{1,2,long}", "{1,2,'very, long'}").replace("1e2,long", "1e2,'very, long'")
    ds = load(write.text("a.arff", text), validation=0, test=0)
    assert (ds.names, ds.y.tolist()) == (("1", "2", "very, long"), [0, 2, 1])


def test_relational_channels(write):
    ds = load(write.text("a.arff", RELATIONAL), validation=0, test=0)
    np.testing.assert_array_equal(ds.x, [[[1, 2, 3], [4, 5, 6]], [[7, 8, 0], [9, 10, 0]]])
    assert ds.names == ("down", "up")
    assert ds.y.tolist() == [1, 0]
    assert ds.mask.sum(1).tolist() == [3, 2]


def test_channels_of_unequal_length_are_refused(write):
    text = RELATIONAL.replace("4,5,6", "4,5")
    with pytest.raises(InputError, match="sample 0 is NaN"):
        load(write.text("a.arff", text))


def test_numeric_target(write):
    text = FLAT.replace("{1,2,long}", "numeric").replace("long", "0.5").replace("?", "4")
    ds = load(write.text("a.arff", text), validation=0, test=0)
    assert (ds.task, ds.y.tolist()) == ("regression", [1.0, 0.5, 2.0])


def test_test_file_beside(write):
    write.text("B_TRAIN.arff", FLAT)
    write.text("B_TEST.arff", FLAT)
    assert load(write.folder / "B_TRAIN.arff", validation=0).splits["test"].tolist() == [3, 4, 5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@relation a\n", "no @data line"),
        (FLAT.split("1.0,")[0], "holds no samples"),
        (FLAT + "1,2,3,9\n", "label '9' is none of its classes: 1, 2, long"),
        (FLAT + "1,b,3,1\n", "'b' is not a number"),
        (FLAT + "{0 1, 3 2}\n", "sparse rows"),
        (RELATIONAL + "1,2,3,up\n", "one quoted field"),
        (RELATIONAL + "'',up\n", "has no values"),
    ],
)
def test_bad_files(write, text, message):
    with pytest.raises(InputError, match=message):
        load(write.text("a.arff", text))
