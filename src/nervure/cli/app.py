"""The command line: one file a command; this one gathers them and turns errors into one line each."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Annotated

import typer

from nervure.cli import (
    cluster,
    compare,
    compare_pruning,
    compare_sparsity,
    data,
    evaluate,
    export,
    predict,
    prune,
    report,
    reproduce,
    shape,
    sparsify,
    train,
)
from nervure.cli.console import say
from nervure.cli.group import FirstByDefault
from nervure.errors import NervureError

__all__ = ["app", "main"]

# typer has its own copy of click, or uses click itself, by its version: either way its errors have this base.
_UsageError = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def _add(to: typer.Typer, name: str, command: Callable[..., None]) -> None:
    """Add a command; each paragraph of its help becomes one line, which breaks where the terminal's width asks."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    to.command(name, help="\n\n".join(" ".join(one.split()) for one in paragraphs))(command)


app = typer.Typer(
    name="nervure",
    help="Spend a network's capacity where its data needs it.",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_add(app, "data", data.command)
_add(app, "train", train.command)
_add(app, "evaluate", evaluate.command)
_add(app, "predict", predict.command)
_add(app, "export", export.command)
_add(app, "report", report.command)
comparing = typer.Typer(cls=FirstByDefault, help="Hold runs, or criteria, side by side.", no_args_is_help=True)
_add(comparing, "runs", compare.command)
_add(comparing, "pruning", compare_pruning.command)
_add(comparing, "sparsity", compare_sparsity.command)
app.add_typer(comparing, name="compare")
_add(app, "cluster", cluster.command)
_add(app, "prune", prune.command)
_add(app, "sparsify", sparsify.command)
_add(app, "reproduce", reproduce.command)
_add(app, "shape", shape.command)


def _version(asked: bool) -> None:
    if not asked:
        return
    import torch

    from nervure.store.run import versions

    typer.echo("\n".join(f"{name} {version}" for name, version in versions().items()))
    devices = [torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())]
    typer.echo(f"devices cpu ({torch.get_num_threads()} threads){''.join(f', {name}' for name in devices)}")
    raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", help="Versions and devices.", metavar="", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed while working, 2 bad input, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files need not be text
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(_run(arguments))


def _run(arguments: list[str]) -> int:
    debug, quiet = "--debug" in arguments, not {"--quiet", "-q"}.isdisjoint(arguments)
    with _voice(quiet=quiet, debug=debug):
        try:
            code = app(args=arguments or ["--help"], standalone_mode=False, prog_name="nervure", obj=tuple(arguments))
            sys.stdout.flush()
        except BaseException as error:
            if debug and not isinstance(error, SystemExit):
                traceback.print_exc()
            return _tell(error)
    if code == 130:  # typer has turned Ctrl-C into an exit code
        return _fail("interrupted", 130)
    return code if isinstance(code, int) else 0


def _tell(error: BaseException) -> int:
    """One line that says what went wrong, and the exit code."""
    if type(error).__name__ == "NoArgsIsHelpError":  # the help has been shown
        return 0
    if isinstance(error, _UsageError):
        context = getattr(error, "ctx", None)
        hint = f"; see: {context.command_path} --help" if context is not None else ""
        return _fail(error.format_message().rstrip(".") + hint, 2)  # type: ignore[attr-defined]
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return _fail("interrupted", 130)
    if isinstance(error, BrokenPipeError):
        # who read our output has gone; what is left of it must not be flushed when Python ends
        with contextlib.suppress(OSError, ValueError):
            stdout = sys.stdout.fileno()
            os.dup2(os.open(os.devnull, os.O_WRONLY), stdout)
        return 1
    if isinstance(error, NervureError):
        return _fail(str(error), error.exit_code)
    if isinstance(error, OSError) and (reason := _reason(error)):
        return _fail(reason, 2)
    if isinstance(error, Exception):
        return _fail(f"{type(error).__name__}: {error}; run again with --debug for the traceback", 1)
    raise error


def _reason(error: OSError) -> str | None:
    """The clear line for what the system says of a place that cannot be written."""
    from nervure.errors import InputError
    from nervure.store.atomic import clear_errors

    try:
        with clear_errors(error.filename or "the temporary files"):
            raise error
    except InputError as clear:
        return str(clear)
    except OSError:
        return None


def _fail(message: str, code: int) -> int:
    say(f"nervure: {' '.join(message.split())}")
    return code


class _Handler(logging.Handler):
    """What the library warns of, as a line on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        say(f"nervure: {record.levelname.lower()}: {' '.join(record.getMessage().split())}")


@contextlib.contextmanager
def _voice(*, quiet: bool, debug: bool) -> Iterator[None]:
    """Our own warnings as a line each, none if quiet; other packages' only when debugging: nobody could act on them."""
    log, handler = logging.getLogger("nervure"), _Handler(logging.ERROR if quiet else logging.WARNING)
    log.addHandler(handler)
    try:
        with warnings.catch_warnings():
            if not debug:
                warnings.simplefilter("ignore")
            yield
    finally:
        log.removeHandler(handler)
