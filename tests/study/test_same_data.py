"""Whether trials of one table were made on one file: its digest, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from nervure.errors import InputError
from nervure.study import same_data
from nervure.study.grid import Trial
from nervure.study.records import Record
from nervure.study.same_data import digest, require_same

ONE, TWO = (Trial("mine", "smoke", "base", seed, "train", {"source": "a"}, {}) for seed in (0, 1))


class TestDigest:
    """Of a file or a folder."""

    @pytest.mark.parametrize("whole", [1 << 28, 64])
    def test_follows_contents_and_neither_place_nor_day(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: int
    ) -> None:
        monkeypatch.setattr(same_data, "WHOLE_BYTES", whole)
        for name, text in (("a.npz", b"x" * 100), ("b.npz", b"x" * 100), ("c.npz", b"x" * 99 + b"y"), ("d", b"x" * 99)):
            (tmp_path / name).write_bytes(text)
        found = {name: digest(tmp_path / name) for name in ("a.npz", "b.npz", "c.npz", "d")}
        assert found["a.npz"] == found["b.npz"]
        assert len(set(found.values())) == 3
        assert all(len(one) == 16 for one in found.values())

    def test_of_a_split_follows_the_other(self, tmp_path: Path) -> None:
        for name in ("W_TRAIN.tsv", "W_TEST.tsv", "V_TEST.tsv"):
            (tmp_path / name).write_text("1")
        one = digest(tmp_path / "W_TRAIN.tsv")
        (tmp_path / "V_TEST.tsv").write_text("2")
        assert digest(tmp_path / "W_TRAIN.tsv") == one
        (tmp_path / "W_TEST.tsv").write_text("2")
        assert digest(tmp_path / "W_TRAIN.tsv") != one

    def test_of_a_folder_follows_names_and_ignores_what_is_hidden(self, tmp_path: Path) -> None:
        for name in ("one", "two", "three"):
            (tmp_path / name / "deep").mkdir(parents=True)
            (tmp_path / name / "deep" / "x").write_text("1")
        (tmp_path / "two" / ".hidden").write_text("2")
        (tmp_path / "three" / "deep" / "x").rename(tmp_path / "three" / "deep" / "y")
        one, two, three = (digest(tmp_path / name) for name in ("one", "two", "three"))
        assert one == two != three

    def test_reads_of_what_is_large_a_part(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        read: list[int] = []
        monkeypatch.setattr(same_data, "WHOLE_BYTES", 1 << 10)
        monkeypatch.setattr(same_data, "BLOCK", 16)
        monkeypatch.setattr(same_data, "BLOCKS", 8)
        real = same_data.part
        monkeypatch.setattr(same_data, "part", lambda *given: read.append(given[2]) or real(*given))
        (tmp_path / "a").mkdir()
        for name in ("b", "c", "d"):
            (tmp_path / "a" / name).write_bytes(b"z" * (1 << 12))
        assert len(digest(tmp_path / "a")) == 16
        assert sum(read) == 8 * 16


class TestRequireSame:
    """Of records and what is there now."""

    def test_records_without_a_digest_are_valid(self, tmp_path: Path) -> None:
        require_same([Record(ONE), Record(TWO)], tmp_path, tmp_path / "a.npz", "a")
        require_same([Record(ONE), Record(TWO, digest="a")], tmp_path, tmp_path / "a.npz", "a")
        require_same([Record(ONE, digest="a"), Record(TWO)], tmp_path)

    def test_trials_that_failed_say_nothing_of_data(self, tmp_path: Path) -> None:
        require_same([Record(ONE, digest="a"), Record(TWO, digest="b", error="no luck")], tmp_path)

    def test_other_data_is_refused_by_name(self, tmp_path: Path) -> None:
        said = r"results: its trials of mine smoke were made on other data than .*a\.npz.* --data-dir .* folder \(-o\)"
        with pytest.raises(InputError, match=said):
            require_same([Record(ONE, digest="a")], tmp_path / "results", tmp_path / "a.npz", "b")

    def test_a_mixture_is_refused_and_the_fewer_are_named(self, tmp_path: Path) -> None:
        more = [Record(Trial("mine", "smoke", "b", at, "train", {}, {}), digest="a") for at in range(3)]
        with pytest.raises(
            InputError, match=rf"results: .*mine smoke.* of two or more data sets; .*\({ONE.key}\.json\)"
        ):
            require_same([*more, Record(ONE, digest="b")], tmp_path / "results")
