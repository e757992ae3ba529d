from __future__ import annotations

import numpy as np
import pytest

from nervure.data.sheet import Sheet, read_sheet
from nervure.errors import InputError


def sheet(names: str, *rows: str) -> Sheet:
    return Sheet(names.split(), [row.split() for row in rows], range(2, 2 + len(rows)), len(names.split()), "here")


TWINS = sheet("u y y", "1 a 0", "2 b 1")


def test_columns_of_one_name_are_refused_until_one_is_left_out():
    for which in ("y", 1, 2, "-1"):
        with pytest.raises(InputError, match="here: columns 1 and 2 are both called 'y'.* skip=2"):
            TWINS.column(which)
    assert TWINS.without([2]).cells("y") == ["a", "b"]
    assert TWINS.without(["y"]).names == ["u"]
    assert TWINS.column("u") == 0


def test_the_label_is_the_column_given_or_the_only_one_that_is_headed_so():
    ship = sheet("age class survived", "30 first 1")
    assert (ship.label(None), ship.label("survived"), ship.label(-1)) == (1, 2, 2)
    assert sheet("u v", "1 2").label(None) is None
    both = sheet("u class Label", "1 a 0")
    for given in (None, "class", 2):
        with pytest.raises(InputError, match="'class' and 'Label' both hold labels.* skip=2"):
            both.label(given)
    assert both.without([2]).label(None) == 1
    assert both.label("u") == 0


def test_a_column_without_any_number_is_none():
    rows = sheet("a b c d", "x ? 1 -", "y na 2,5 3")
    assert rows.down(0) is None
    assert rows.down(1) is None
    for place, message in (
        (2, "line 3: column 'c' is '2,5', .* decimals with a point"),
        (3, "line 2: column 'd' is '-'"),
    ):
        with pytest.raises(InputError, match=message):
            rows.down(place)
    np.testing.assert_array_equal(sheet("a", "1", "?", "-inf").down(0), [1, np.nan, -np.inf])


def test_a_wanted_name_makes_a_header(write):
    path = write.text("a.csv", "0,1,state\n2,3,on\n")
    assert read_sheet(path).lines == [1, 2]
    assert read_sheet(path, wanted=["state"]).names == ["0", "1", "state"]


def test_lines_within_cells_are_kept_and_counted(write):
    path = write.folder / "a.csv"
    path.write_bytes('u,label\r\n\r\n1,"up\nside"\r\n2,"a\u2028b\u0085c\x0cd"\r\n3,e\r\n'.encode())
    found = read_sheet(path)
    assert found.cells("label") == ["up\nside", "a\u2028b\u0085c\x0cd", "e"]
    assert found.lines == [3, 5, 6]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_lines_end_as_on_any_machine(write, name, end):
    found = read_sheet(write.text(name, end.join(["u,v", "1,2", "3,4"])))
    assert (found.rows, found.lines) == ([["1", "2"], ["3", "4"]], [2, 3])
