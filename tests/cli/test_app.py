"""The command line as a whole: help, exit codes, one line an error, what goes to which stream."""

from __future__ import annotations

import logging
import re
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from nervure.cli import app as cli
from nervure.cli import report
from nervure.errors import InputError, InterruptedWork, NervureError


def every(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each command with the words that lead to it, those of groups within the group too."""
    for name, one in group.commands.items():
        if hasattr(one, "commands"):
            yield from every(one, (*path, name))
        else:
            yield (*path, name), one


COMMANDS = {" ".join(path): one for path, one in every(typer.main.get_command(cli.app))}
# the help of reproduce --seeds stands in brackets
SOUND = [name for name in COMMANDS if name != "reproduce"]


def fails_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make ``nervure report`` raise."""

    def raises(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(report, "load_run", raises)


class TestHelp:
    def test_no_argument_is_a_request_for_help(self, call) -> None:
        said = call()
        assert said == call("--help")
        assert (said.code, said.err) == (0, "")

    @pytest.mark.parametrize("name", COMMANDS)
    def test_paragraphs_break_where_the_terminal_asks(self, name: str) -> None:
        assert all("\n" not in one for one in (COMMANDS[name].help or "").split("\n\n"))

    def test_of_a_group(self, call) -> None:
        assert call("compare").code == 0
        assert call("compare").err == ""
        assert "runs" in call("compare", "--help").out

    def test_every_command_is_listed_with_its_line(self, call) -> None:
        assert {"data", "train", "evaluate", "predict", "export", "report", "compare runs", "shape"} <= set(COMMANDS)
        listed = call("--help").out
        for name in COMMANDS:
            assert re.search(rf"│ {name.split()[0]} +\w+", listed), name

    @pytest.mark.parametrize("name", SOUND)
    def test_each_option_says_what_it_does(self, call, name: str) -> None:
        shown = call(*name.split(), "-h").out
        for one in COMMANDS[name].params:
            if one.name != "help":
                assert one.help, f"{name}: {one.name} has no help"
                assert "[" not in one.help, f"{name}: {one.name}: rich would swallow what stands in brackets"
            for option in one.opts:
                assert option.startswith("-") <= (option in shown)

    @pytest.mark.parametrize("name", COMMANDS)
    def test_each_example_stands_on_a_line_of_its_own(self, call, name: str) -> None:
        lines = call(*name.split(), "--help").out.splitlines()
        start = next(number for number, line in enumerate(lines) if line.strip() == "Examples:")
        examples = [line.strip() for line in lines[start + 1 :] if "nervure " in line and "│" not in line]
        assert examples
        for line in examples:
            assert line.removeprefix("$ ").startswith(f"nervure {name.removesuffix(' runs')}"), line
            assert line.count("nervure ") == 1
            assert len(line) < 116

    def test_examples_are_accepted(self, call) -> None:
        """Each example in the help texts parses: its options exist."""
        for name, command in COMMANDS.items():
            for line in re.findall(r"\$? *nervure (\w+ .*)", command.help):
                words = line.split()
                skipped = len([word for word, own in zip(words, name.split(), strict=False) if word == own])
                command.make_context(name, words[skipped:])


class TestErrors:
    def test_exit_codes_and_one_line_each(self, call, monkeypatch: pytest.MonkeyPatch) -> None:
        cases = [
            (InputError("no such thing;\n give another"), 2, "nervure: no such thing; give another"),
            (NervureError("it broke"), 1, "nervure: it broke"),
            (InterruptedWork("stopped"), 130, "nervure: stopped"),
            (KeyboardInterrupt(), 130, "nervure: interrupted"),
            (ZeroDivisionError("by zero"), 1, "nervure: ZeroDivisionError: by zero; run again with --debug"),
            (OSError(28, "No space left", "/a/b"), 2, "nervure: cannot write /a/b: no room left on the disk"),
            (OSError(5, "Input/output error"), 1, "nervure: OSError: [Errno 5] Input/output error"),
            (typer.Abort(), 130, "nervure: interrupted"),
        ]
        for error, code, line in cases:
            fails_with(monkeypatch, error)
            said = call("report", "r")
            assert (said.code, said.out) == (code, ""), error
            assert said.err.startswith(line)
            assert said.err.count("\n") == 1

    def test_debug_shows_the_traceback_and_keeps_the_code(self, call, monkeypatch: pytest.MonkeyPatch) -> None:
        for error, code in ((InputError("bad"), 2), (ZeroDivisionError(), 1)):
            fails_with(monkeypatch, error)
            said = call("report", "r", "--debug")
            assert said.code == code
            assert "Traceback" in said.err

    def test_usage(self, call) -> None:
        cases = {
            ("train",): "Missing argument 'SOURCE'; see: nervure train --help",
            ("train", "digits"): "Missing option '--out' / '-o'; see: nervure train --help",
            ("trian",): "No such command 'trian'. Did you mean 'train'?; see: nervure --help",
            ("train", "digits", "-o", "a", "--epoch", "3"): "No such option: --epoch (Possible options: --epochs)",
            ("train", "digits", "-o", "a", "--epochs", "x"): "Invalid value for '--epochs'",
            ("evaluate", "r", "--batch", "0"): "Invalid value for '--batch'",
            ("train", "digits", "-o", "a", "--seed", "-1"): "Invalid value for '--seed'",
        }
        for arguments, line in cases.items():
            said = call(*arguments)
            assert (said.code, said.out) == (2, ""), arguments
            assert said.err.startswith(f"nervure: {line}"), said.err
            assert said.err.count("\n") == 1

    def test_who_reads_may_go_away(self, call, monkeypatch: pytest.MonkeyPatch) -> None:
        fails_with(monkeypatch, BrokenPipeError())
        assert call("report", "r")[:] == (1, "", "")

    def test_main_exits(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setattr("sys.argv", ["nervure", "trian"])
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert left.value.code == 2
        assert "trian" in capsys.readouterr().err


class TestVoice:
    def warn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def warns(*arguments: object) -> None:
            logging.getLogger("nervure.data").warning("two lines\nof %s", "ours")
            logging.getLogger("nervure.data").info("nothing of note")
            warnings.warn("another package's", UserWarning, stacklevel=1)
            raise InputError("after that")

        monkeypatch.setattr(report, "load_run", warns)

    def test_our_warnings_are_lines(self, call, monkeypatch: pytest.MonkeyPatch) -> None:
        self.warn(monkeypatch)
        assert call("report", "r").err == "nervure: warning: two lines of ours\nnervure: after that\n"

    @pytest.mark.parametrize("flag", ["-q", "--quiet"])
    def test_quiet_leaves_errors(self, call, monkeypatch: pytest.MonkeyPatch, flag: str) -> None:
        self.warn(monkeypatch)
        assert call("report", "r", flag).err == "nervure: after that\n"

    def test_every_command_can_be_quiet_debugged_and_read_by_machines(self) -> None:
        for name, command in COMMANDS.items():
            options = {option for one in command.params for option in one.opts}
            assert {"--quiet", "-q", "--debug", "--json"} <= options, name

    def test_signals_are_as_they_were(self, call) -> None:
        before = signal.getsignal(signal.SIGINT)
        call("data", "digits")
        assert signal.getsignal(signal.SIGINT) is before


def test_version(call) -> None:
    said = call("--version")
    assert (said.code, said.err) == (0, "")
    named = dict(line.split(" ", 1) for line in said.out.splitlines())
    assert {"nervure", "torch", "python", "numpy", "devices"} <= set(named)
    assert "cpu" in named["devices"]


def test_no_command_needs_click_itself() -> None:
    """typer brings its own copy; a machine without click must do."""
    for file in Path(cli.__file__).parent.glob("*.py"):
        assert "import click" not in file.read_text(), file.name
