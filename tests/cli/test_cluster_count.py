from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import nervure as nv
from nervure.cli.app import _run
from nervure.cli.cluster_count import numbers
from nervure.cluster.counts import Fit, Latents
from nervure.errors import InputError
from nervure.train.loop import Loop

SMALL = (
    "--method", "dcae-kmeans", "--epochs", 10, "--batch", 20, "--net-option", "widths=[16]", "--latent", 4,
    "--device", "cpu", "--threads", 1, "--no-figures", "-q",
)  # fmt: skip


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Three groups of four values."""
    draw = np.random.default_rng(0)
    centres = np.array([[0, 0, 0, 0], [6, 0, 6, 0], [0, 6, 0, 6]])
    np.savez(tmp_path / "table.npz", x=centres[np.arange(120) % 3] + draw.normal(0, 0.5, (120, 4)))
    return tmp_path / "table.npz"


def command(*arguments: object) -> int:
    return _run(["cluster", *(str(one) for one in (*arguments, *SMALL))])


def test_a_range_is_tried_and_what_was_chosen_is_fitted(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(table, "-k", "2-4", "--seeds", 2, "-o", tmp_path / "run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["clusters"] == 3
    run = nv.store.load(tmp_path / "run")
    assert run.net.head.clusters == 3
    assert run.evidence["count"].x.tolist() == [2, 3, 4]
    assert [row[-1] for row in run.evidence["counts"].rows] == ["", "yes", ""]
    assert {path.name for path in tmp_path.iterdir()} == {"table.npz", "run"}


def test_seeds_are_held_against_one_another(table: Path, tmp_path: Path) -> None:
    assert command(table, "-k", 3, "--seeds", 2, "-o", tmp_path / "run") == 0
    run = nv.store.load(tmp_path / "run")
    assert 0 < run.metrics["agreement_over_seeds"] <= 1
    assert run.evidence["seeds-agreement"].values.shape == (2, 2)
    assert len(run.evidence["seeds-clusters"].rows) == 3


def test_labels_and_links_supervise_every_seed(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "told.npz", x=np.load(table)["x"], y=np.arange(120) % 3)
    (tmp_path / "links.csv").write_text("0,3,must\n")
    given = seeds_fitted(monkeypatch)
    links = ("--links", tmp_path / "links.csv")
    assert command(tmp_path / "told.npz", "-k", 3, "--labels", *links, "--seeds", 3, "-o", tmp_path / "run") == 0
    assert list(given) == [1, 2]  # that of the run itself is there
    for one in given.values():
        assert one["labels"].tolist() == (np.arange(120) % 3).tolist()
        assert one["links"]["must"].tolist() == [[0, 3]]
    run = nv.store.load(tmp_path / "run")
    found = nv.cluster.stability(
        nv.cluster.load(run), nv.data.load(run.source, **run.options), 3, labels=one["labels"], links=one["links"]
    )
    assert np.array_equal(run.evidence["seeds-agreement"].values, found.agreement)


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def seeds_fitted(monkeypatch: pytest.MonkeyPatch, stop: int | None = None) -> dict[int, dict[str, object]]:
    """Each fit of another seed, with what supervised it; Ctrl-C comes at the seed ``stop``."""
    given, fit = {}, nv.cluster.DCAEKMeans.fit_run

    def noted(model: nv.cluster.DCAEKMeans, x: object, **told: object) -> nv.store.Run:
        if model.random_state == stop:
            raise KeyboardInterrupt
        if model.random_state > 0:  # 0 is the run's own
            given[model.random_state] = told
        return fit(model, x, **told)

    monkeypatch.setattr(nv.cluster.DCAEKMeans, "fit_run", noted)
    return given


class TestInterrupted:
    def test_seeds_that_are_fitted_are_kept(
        self, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        asked = (table, "-k", 3, "--seeds", 4)
        assert command(*asked, "-o", tmp_path / "whole") == 0
        with monkeypatch.context() as patched:
            assert list(seeds_fitted(patched, stop=2)) == []
            assert command(*asked, "-o", tmp_path / "run") == 130
        said = capsys.readouterr().err
        assert said.endswith(f"nervure: stopped after 2 of 4 seeds; {tmp_path / 'run'}: go on with --resume\n")
        given = seeds_fitted(monkeypatch)
        assert command(*asked, "-o", tmp_path / "run", "--resume") == 0
        assert list(given) == [2, 3]
        runs = [nv.store.load(tmp_path / name) for name in ("whole", "run")]
        one, other = (run.evidence["seeds-agreement"].values for run in runs)
        assert np.array_equal(one, other)
        assert {path.name for path in tmp_path.iterdir()} == {"table.npz", "whole", "run"}
        given.clear()
        assert command(*asked, "-o", tmp_path / "run", "--resume") == 0
        assert list(given) == []
        assert np.array_equal(nv.store.load(tmp_path / "run").evidence["seeds-agreement"].values, one)

    def test_fits_of_several_numbers_are_not_thrown_away(
        self, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        asked, out = (table, "-k", "2-4", "--seeds", 2), tmp_path / "run"
        stopped = [2]
        fit = Latents.fit

        def stopping(latents: Latents, k: int, seed: int) -> Fit:
            stopped[0] -= 1
            if stopped[0] < 0:
                raise KeyboardInterrupt
            return fit(latents, k, seed)

        monkeypatch.setattr(Latents, "fit", stopping)
        assert command(*asked, "-o", out) == 130
        assert f"stopped after 2 of 6 fits; {out}: go on with --resume" in capsys.readouterr().err
        for other in (asked, (table, "-k", 3)):
            assert command(*other, "-o", out) == 2
            said = capsys.readouterr().err
            assert f"{out} holds unfinished work; give --resume to go on with it, or --overwrite to replace it" in said
        stopped[0] = 3
        assert command(*asked, "-o", out, "--overwrite") == 130
        assert "stopped after 3 of 6 fits" in capsys.readouterr().err
        stopped[0] = 3
        assert command(*asked, "-o", out, "--resume") == 0
        assert stopped[0] == 0

    @pytest.mark.parametrize("fits", [0, 2], ids=["in the training for the fits", "after some fits"])
    def test_what_replaces_a_run_goes_on_too(
        self,
        fits: int,
        table: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        asked, out = (table, "-k", "2-3", "--seeds", 2), tmp_path / "run"
        assert command(table, "-k", 4, "-o", out) == 0
        with monkeypatch.context() as patched:
            patched.setattr(Latents, "of", interrupted)  # before anything is kept
            assert command(*asked, "-o", out, "--overwrite") == 130
        assert "--resume" not in capsys.readouterr().err
        assert (out / "run.json").exists()
        epoch, fit, made = Loop._epoch, Latents.fit, []

        def training(loop: Loop, *arguments: Callable[..., object]) -> None:
            if not fits and loop.epoch == 3:
                raise KeyboardInterrupt
            epoch(loop, *arguments)

        def fitting(latents: Latents, k: int, seed: int) -> Fit:
            if len(made) == fits:
                raise KeyboardInterrupt
            made.append(k)
            return fit(latents, k, seed)

        with monkeypatch.context() as patched:
            patched.setattr(Loop, "_epoch", training)
            patched.setattr(Latents, "fit", fitting)
            assert command(*asked, "-o", out, "--overwrite") == 130
        assert f"stopped after {f'{fits} of 4' if fits else '0'} fits; {out}: go on with" in capsys.readouterr().err
        assert command(*asked, "-o", out, "--resume") == 0
        assert nv.store.load(out).net.head.clusters == 3

    @pytest.mark.parametrize("asked", [("-k", "2-4"), ("-k", 3, "--seeds", 2)])
    def test_training_for_the_fits_goes_on_where_it_was(
        self,
        asked: tuple[object, ...],
        table: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert command(table, *asked, "-o", tmp_path / "whole") == 0
        out, epochs, epoch = tmp_path / "run", [], Loop._epoch

        def noted(loop: Loop, *arguments: Callable[..., object]) -> None:
            if (beside := loop.place.out.parent != tmp_path) and loop.epoch == stop_at:
                raise KeyboardInterrupt
            if beside:
                epochs.append(loop.epoch)
            epoch(loop, *arguments)

        monkeypatch.setattr(Loop, "_epoch", noted)
        stop_at = 3
        assert command(table, *asked, "-o", out) == 130
        assert f"{out}: go on with --resume" in capsys.readouterr().err
        stop_at = -1
        assert command(table, *asked, "-o", out, "--resume") == 0
        assert epochs == list(range(max(epochs) + 1))
        assert max(epochs) > 3
        assert {path.name for path in tmp_path.iterdir()} == {"table.npz", "whole", "run"}
        one, other = (nv.store.load(tmp_path / name).evidence for name in ("whole", "run"))
        for name in ("count", "seeds-agreement"):
            if name in one:
                values = (figure.y if name == "count" else figure.values for figure in (one[name], other[name]))
                assert np.array_equal(*values)


def test_the_folder_that_one_is_in_has_a_name_too(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    assert command(table, "-k", "2-3", "--seeds", 2, "-o", ".") == 0
    assert nv.store.load(tmp_path / "run").net.head.clusters == 3
    assert {path.name for path in tmp_path.iterdir()} == {"table.npz", "run"}


@pytest.mark.parametrize("wrong", ["0", "1", "1-4", "5-2", "3-3", "2-", "-3", "many", "2.5", ""])
def test_wrong_numbers_are_named(wrong: str) -> None:
    with pytest.raises(InputError, match="-k"):
        numbers(wrong)


def test_none_given_says_how() -> None:
    with pytest.raises(InputError, match="-k 10"):
        numbers(None)


def test_labels_do_not_choose(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "links.csv").write_text("0,3,must\n")
    assert command(table, "-k", "auto", "--links", tmp_path / "links.csv", "-o", tmp_path / "run") == 2
    assert "have no say" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
