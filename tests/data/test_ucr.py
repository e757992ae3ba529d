from __future__ import annotations

import pytest

from nervure.data import load
from nervure.errors import InputError

TRAIN, TEST = "2\t0.5\t1\t3\n1\t0.25\t2\tNaN\n2\t1\t1\t1\n", "1\t0.5\t4\t5\t6\n2\t1\t2\n"


@pytest.mark.parametrize("given", ["w", "w/W_TRAIN.tsv"])
@pytest.mark.parametrize("options", [{}, {"label": 0}, {"kind": "series", "header": False}])
def test_the_class_comes_first_and_the_test_file_lies_beside(write, given, options):
    write.text("w/W_TRAIN.tsv", TRAIN)
    write.text("w/W_TEST.tsv", TEST)
    ds = load(write.folder / given, validation=0, **options)
    assert (ds.kind, ds.x.shape, ds.names, ds.y.tolist()) == ("series", (5, 1, 4), ("1", "2"), [1, 0, 1, 0, 1])
    assert ds.splits["test"].tolist() == [3, 4]
    assert ds.mask.sum(1).tolist() == [3, 2, 3, 4, 2]
    assert ds.x[3, 0].tolist() == [0.5, 4, 5, 6]


def test_a_file_without_its_pair(write):
    ds = load(write.text("W_TEST.tsv.gz", TEST), validation=0, test=0)
    assert (ds.x.shape, ds.y.tolist()) == ((2, 1, 4), [0, 1])


def test_what_it_is_told_otherwise_goes_first(write):
    write.text("W_TEST.tsv", TEST)
    path = write.text("W_TRAIN.tsv", TRAIN.replace("NaN", "4"))
    assert load(path, kind="table", validation=0, test=0).x.shape == (3, 4)
    assert load(path, label=-1, validation=0, test=0).names == ("1", "3", "4")
    assert load(path, skip=0, validation=0, test=0).x.shape == (3, 1, 3)
    assert load(path, window=2, validation=0, test=0).in_shape == (4, 2)


def test_a_header_is_not_of_the_archive(write):
    ds = load(write.text("W_TRAIN.tsv", "t0\tt1\tlabel\n1\t2\ta\n3\t4\tb\n"), validation=0, test=0)
    assert (ds.x.shape, ds.names) == ((2, 1, 2), ("a", "b"))


def test_a_table_that_is_only_called_so(write):
    ds = load(write.text("measure_test.tsv", "1.5\t2\t3\n3.2\t4\t1\n5.1\t2\t2\n"), validation=0, test=0)
    assert (ds.x.shape, ds.y) == ((3, 1, 3), None)


def test_a_cell_that_is_no_number(write):
    with pytest.raises(InputError, match=r"W_TRAIN\.tsv, line 2: column '2' is 'x', not a number"):
        load(write.text("W_TRAIN.tsv", TRAIN.replace("\t2\t", "\tx\t")))
