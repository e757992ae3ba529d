"""Options that mean the same in every command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nervure.cli import complete

__all__ = [
    "DataDir",
    "DataOption",
    "DataSource",
    "Debug",
    "Device",
    "Devices",
    "Json",
    "Net",
    "NetFunction",
    "Nodes",
    "Out",
    "Overwrite",
    "Precision",
    "Quiet",
    "RecipeField",
    "RecipeFile",
    "RecoverSet",
    "Replace",
    "Resume",
    "RunFolder",
    "Seed",
    "Source",
    "Threads",
]

COMMON = "Common"

# A flag has no value, so its metavar is empty; typer would print <bool> there.
Seed = Annotated[int, typer.Option(help="Seed of everything random.", metavar="N", rich_help_panel=COMMON, min=0)]
Device = Annotated[
    str,
    typer.Option(
        help="auto, cpu, cuda or cuda:N.",
        metavar="NAME",
        rich_help_panel=COMMON,
        autocompletion=lambda incomplete: [one for one in ("auto", "cpu", "cuda") if one.startswith(incomplete)],
    ),
]
Threads = Annotated[
    int | None, typer.Option(help="Threads of torch on the CPU.", metavar="N", rich_help_panel=COMMON, min=1)
]
Devices = Annotated[
    int, typer.Option(help="Processes to train with, one a device.", metavar="N", rich_help_panel=COMMON, min=1)
]
Nodes = Annotated[int, typer.Option(help="Machines to train with.", metavar="N", rich_help_panel=COMMON, min=1)]
Precision = Annotated[
    str | None,
    typer.Option(
        help="32-true, bf16-mixed or 16-mixed.",
        metavar="NAME",
        rich_help_panel=COMMON,
        autocompletion=complete.choices("train/recipe.py", "precision"),
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with what --out holds.", metavar="", rich_help_panel=COMMON)
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace what --out holds.", metavar="", rich_help_panel=COMMON)
]
Replace = Annotated[
    bool, typer.Option("--overwrite", help="Replace a file that exists.", metavar="", rich_help_panel=COMMON)
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.", metavar="", rich_help_panel=COMMON)]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Nothing on stderr but errors.", metavar="", rich_help_panel=COMMON)
]
Debug = Annotated[bool, typer.Option("--debug", help="Show a traceback on errors.", metavar="", rich_help_panel=COMMON)]
Out = Annotated[Path, typer.Option("--out", "-o", help="The folder to write the run to.", metavar="FOLDER")]
RunFolder = Annotated[Path, typer.Argument(help="A run's folder.", metavar="RUN")]
Source = Annotated[
    str,
    typer.Argument(
        help="A name, file or folder; see: nervure data --list.",
        metavar="SOURCE",
        autocompletion=complete.rows("data/sources.py", "source"),
    ),
]
DataSource = Annotated[
    str | None,
    typer.Option("--data", help="Where the run's data is now, if it has moved, or other data.", metavar="SOURCE"),
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="A folder in which names of data sets are looked up.", metavar="FOLDER", envvar="NERVURE_DATA"),
]
DataOption = Annotated[
    list[str] | None,
    typer.Option(help="A source's option, such as size=64; repeatable.", metavar="KEY=VALUE"),
]
Net = Annotated[
    str | None,
    typer.Option(
        help="A network's name, blueprint.json, or package.module:function; by the data if not given.",
        metavar="NAME",
        autocompletion=complete.rows("nets/table.py", "network"),
    ),
]
NetFunction = Annotated[
    str | None,
    typer.Option(
        "--net",
        "--build",
        help="The package.module:function that made the run's network, if it was your own.",
        metavar="NAME",
    ),
]
RecipeFile = Annotated[
    Path | None, typer.Option(help="A recipe as JSON; options given here win over it.", metavar="FILE")
]
RecipeField = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any field of the recipe; repeatable.", metavar="KEY=VALUE"),
]
RecoverSet = Annotated[
    list[str] | None,
    typer.Option(
        help="A setting of the repair, such as samples=500, ridge=0.01 or recipe.epochs=5; repeatable.",
        metavar="KEY=VALUE",
        autocompletion=complete.fields(
            {
                "prune/recover/kernel_estimation.py:KernelEstimation": "",
                "prune/recover/fine_tune.py:FineTune": "",
                "train/recipe.py:Recipe": "recipe.",
            },
            also=("samples",),
        ),
    ),
]
