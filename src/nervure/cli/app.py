"""The command line: one file a command; this one gathers them and turns errors into one line each."""

from __future__ import annotations

import sys
from typing import Annotated

import click
import typer

from nervure.cli import compare, data, evaluate, export, predict, report, shape, train
from nervure.errors import NervureError

__all__ = ["app", "main"]

app = typer.Typer(
    name="nervure",
    help="Spend a network's capacity where its data needs it.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("data")(data.command)
app.command("train")(train.command)
app.command("evaluate")(evaluate.command)
app.command("predict")(predict.command)
app.command("export")(export.command)
app.command("report")(report.command)
app.command("compare")(compare.command)
app.command("shape")(shape.command)


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
        bool, typer.Option("--version", help="Versions and devices.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed while working, 2 bad input, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    sys.exit(_run(arguments))


def _run(arguments: list[str]) -> int:
    try:
        code = app(args=arguments, standalone_mode=False, prog_name="nervure")
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        typer.echo(error.format_message())
        return 0
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f"; see: {context.command_path} --help" if context is not None else ""
        _fail(error.format_message().rstrip(".") + hint)
        return 2
    except (KeyboardInterrupt, click.Abort):
        _fail("interrupted")
        return 130
    except BrokenPipeError:
        return 1
    except NervureError as error:
        if "--debug" in arguments:
            raise
        _fail(str(error))
        return error.exit_code
    except Exception as error:
        if "--debug" in arguments:
            raise
        _fail(f"{type(error).__name__}: {error}; run again with --debug for the traceback")
        return 1


def _fail(message: str) -> None:
    line = " ".join(message.split())
    sys.stderr.write(f"nervure: {line}\n")
