from __future__ import annotations

import pytest

from nervure.data.header import counts, kind_of


@pytest.mark.parametrize(
    ("top", "found"),
    [
        ("0,1,2", True),
        (",0,1,2", True),
        (",0", True),
        ("0,1,label", True),
        ("Class,0,1", True),
        ("0", False),
        ("", False),
        ("label", False),
        ("1,2,3", False),
        ("0,1,3", False),
        ("0,1.0,2", False),
        ("0,1,up", False),
        ("0,,1", False),
    ],
)
def test_a_first_row_that_numbers_columns(top: str, found: bool) -> None:
    assert counts(top.split(",")) is found


@pytest.mark.parametrize(
    ("names", "kind", "told"),
    [
        ("t0,t1,t2", "series", ""),
        ("T_1,T_2,T_10", "series", ""),
        ("value_1,value_2", "series", ""),
        ("time 0.5,time 1.0,time 1.5", "series", ""),
        ("2024-01,2024-02", "series", ""),
        ("00:15,00:30", "series", ""),
        ("0,1,2", "series", "a series of 3 time steps; if they are features, give kind=table"),
        ("age,bmi,income", "table", ""),
        ("age", "table", ""),
        ("age,t0", "table", ""),
        ("t0,t1,value_2", "table", "3 features, t0 to value_2; if they are time steps, give kind=series"),
        ("t1,t0", "table", "2 features, t1 to t0"),
        ("id,t0,t1", "table", "3 features, id to t1"),
        ("gene0,gene1,gene2", "table", "3 features, gene0 to gene2"),
        ("ax0,ax1,ay0,ay1", "table", "4 features"),
    ],
)
def test_what_names_say_of_rows(names: str, kind: str, told: str, caplog: pytest.LogCaptureFixture) -> None:
    assert kind_of(names.split(","), "a.csv") == kind
    assert len(caplog.messages) == bool(told)
    assert told in "".join(caplog.messages)


def test_archives_of_series_are_no_guess(caplog: pytest.LogCaptureFixture) -> None:
    assert kind_of(["1", "2"], "W_TRAIN.tsv.gz") == "series"
    assert not caplog.messages
