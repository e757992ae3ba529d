"""Options that mean the same in every command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "DataDir",
    "DataSource",
    "Debug",
    "Device",
    "Devices",
    "Json",
    "NetFunction",
    "Nodes",
    "Out",
    "Overwrite",
    "Precision",
    "Quiet",
    "Resume",
    "Seed",
    "Threads",
]

Seed = Annotated[int, typer.Option(help="Seed of everything random.", rich_help_panel="Common", min=0)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.", rich_help_panel="Common")]
Threads = Annotated[int | None, typer.Option(help="Threads of torch on the CPU.", rich_help_panel="Common", min=1)]
Devices = Annotated[int, typer.Option(help="Processes to train with, one a device.", rich_help_panel="Common", min=1)]
Nodes = Annotated[int, typer.Option(help="Machines to train with.", rich_help_panel="Common", min=1)]
Precision = Annotated[str | None, typer.Option(help="32-true, bf16-mixed or 16-mixed.", rich_help_panel="Common")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with what --out holds.", rich_help_panel="Common")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what --out holds.", rich_help_panel="Common")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.", rich_help_panel="Common")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.", rich_help_panel="Common")]
Debug = Annotated[bool, typer.Option("--debug", help="Show a traceback on errors.", rich_help_panel="Common")]
Out = Annotated[Path, typer.Option("--out", "-o", help="The folder to write the run to.")]
DataSource = Annotated[
    str | None, typer.Option("--data", help="Where the run's data is now, if it has moved, or other data.")
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="A folder in which names of data sets are looked up.", envvar="NERVURE_DATA"),
]
NetFunction = Annotated[
    str | None,
    typer.Option("--build", help="package.module:function that made the run's network, if your own did."),
]
