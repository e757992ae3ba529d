"""What mkdocs fills in while it builds: tables of names, of entry-point groups and of commands, and cross-references.

These come from the package as it is installed, so a new row or option needs no edit here. A page asks for them by
``<!-- names -->``, ``<!-- groups -->``, ``<!-- commands -->`` and ``<!-- toy -->``, two layers sparsified by hand;
a page of the API asks for a room by ``<!-- room nervure.data -->``, for a group by ``<!-- rows GROUP -->``.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import griffe

import nervure
from nervure.registry import Table

ASKED = re.compile(r"<!-- (names|groups|commands|toy|room|rows)(?: ([\w.]+))? -->")
ROLE = re.compile(r":(?:func|class|meth|mod|attr|data|exc):<code>~?([\w.]+)</code>")
OWN_CALL = {
    "criterion": "a subclass of `nervure.judge.Criterion`",
    "edge criterion": "a subclass of `nervure.judge.Criterion`",
    "clusterer": "a subclass of `nervure.cluster.estimator.DeepClusterer`, whose `method()` gives a `Method`",
    "cluster head": "a subclass of `nervure.cluster.heads.Head`",
    "cluster figure": "`f(view)`, a figure, or a mapping of names to figures",
    "recovery": "a `nervure.prune.recover.recovery.Recovery`: `(net, given) -> repairs`",
    "structural step": "`rebuild(net, settings) -> net`",
    "callback": "a subclass of `nervure.train.Callback`",
    "objective": "a factory of `(net, batch) -> (loss, logs)`",
    "figure": "`draw(figure) -> html`",
    "network": "`f(in_shape, classes, **settings) -> nn.Module`",
    "source": "`read(**options) -> Contents`",
    "file format": "`read(path, **options) -> Contents`",
    "statistic": "a subclass of `nervure.observe.Statistic`",
    "trial": "`trial(job) -> Measured`",
    "input mask": "a class without arguments, called on a batch",
    "export format": "a `nervure.export.Format`",
}


def on_page_markdown(markdown: str, **_: object) -> str:
    """Fill in the generated parts of a page."""
    makers: dict[str, Callable[..., str]] = {
        "names": names, "groups": groups, "commands": commands, "toy": toy, "room": room, "rows": rows,
    }  # fmt: skip
    return ASKED.sub(lambda found: makers[found[1]](*filter(None, [found[2]])), markdown)


def on_page_content(html: str, **_: object) -> str:
    """Roles of docstrings become links to what they name, where that has a place in these pages."""
    return ROLE.sub(r'<autoref identifier="\1" optional><code>\1</code></autoref>', html)


def tables() -> Iterator[Table[object]]:
    """Every static table of the package: those whose file names an entry-point group."""
    home = Path(nervure.__file__).parent
    for file in sorted(home.rglob("*.py")):
        if 'group="nervure.' in file.read_text(encoding="utf-8"):
            parts = file.relative_to(home.parent).with_suffix("").parts
            module = importlib.import_module(".".join(parts).removesuffix(".__init__"))
            yield from [value for value in vars(module).values() if isinstance(value, Table)]


def names() -> str:
    """A heading and a table of rows for each kind; what stands under API is linked."""
    parts = []
    for table in sorted(tables(), key=lambda table: table.kind):
        if table.rows:
            lines = [
                f'| <autoref identifier="{row.target.replace(":", ".")}" optional>`{name}`</autoref> | {row.line} '
                f"| {row.source} |"
                for name, row in table.rows.items()
            ]
            parts.append("\n".join([f"## {table.kind.capitalize()}", "", "| name | what it is | source |",
                                    "| --- | --- | --- |", *lines, ""]))  # fmt: skip
    return "\n".join(parts)


def groups() -> str:
    """A table of the entry-point groups, and what a row of each must be."""
    lines = [f"| `{table.group}` | {table.kind} | {OWN_CALL.get(table.kind, 'see its page under API')} |"
             for table in sorted(tables(), key=lambda table: (table.group, table.kind))]  # fmt: skip
    return "\n".join(["| group | a row is a | and stands for |", "| --- | --- | --- |", *lines])


def room(name: str) -> str:
    """A room's public names, also those that are both a file and a verb, or that come when they are asked for."""
    module = importlib.import_module(name)
    parts = [f"::: {name}"]
    for public in module.__all__:
        value, seen = getattr(module, public), package().get_member(name.partition(".")[2]).members.get(public)
        if (seen is None or seen.is_module) and callable(value):
            parts.append(f"::: {value.__module__}.{value.__qualname__}\n    options: {{heading: {name}.{public}}}")
    return "\n\n".join(parts)


def rows(group: str) -> str:
    """What each name of a group stands for, with the settings that it takes."""
    [table] = [one for one in tables() if one.group == group]
    named: dict[str, list[str]] = {}
    for name, row in table.rows.items():
        if row.target.startswith("nervure."):
            named.setdefault(row.target.replace(":", "."), []).append(name)
    parts = []
    for target, those in named.items():
        heading = f"{table.kind} {', '.join(those)}"
        parts.append(
            f"::: {target}\n    options: {{heading: '{heading}', members: false, show_bases: false, heading_level: 3}}"
        )
    return "\n\n".join(parts)


@functools.cache
def package() -> griffe.Object:
    """The package as it is read for these pages."""
    return griffe.load("nervure", search_paths=[str(Path(nervure.__file__).parent.parent)])


def commands() -> str:
    """Every command with its help, arguments and options."""
    import typer

    from nervure.cli.app import app

    return "\n".join(_command("nervure", typer.main.get_command(app)))


def toy() -> str:
    """The worked example of iSparse, edge by edge."""
    from nervure.sparsify.figures import toy as worked

    table = worked()
    cells = [["yes" if one is True else "no" if one is False else f"{one:g}" for one in row] for row in table.rows]
    lines = [table.columns, ["---"] * len(table.columns), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _command(path: str, command: object) -> Iterator[str]:
    """The lines of one command, or of each command of a group."""
    inner = getattr(command, "commands", None)
    if inner is not None:
        for name, one in inner.items():
            yield from _command(f"{path} {name}", one)
        return
    about, _, examples = (command.help or "").partition("Examples:")  # type: ignore[attr-defined]
    yield from (f"## {path}", "", about.strip(), "")
    shown = [line.strip().removeprefix("$ ") for line in examples.splitlines() if line.strip()]
    if shown:
        yield from ("```shell", *shown, "```", "")
    yield from ("| argument or option | what it is |", "| --- | --- |")
    for one in command.params:  # type: ignore[attr-defined]
        if one.name != "help":
            yield f"| {_spelling(one)} | {_text(one)} |"
    yield ""


def _spelling(parameter: object) -> str:
    if parameter.param_type_name == "argument":  # type: ignore[attr-defined]
        return f"`{parameter.name.upper().rstrip('_')}`"  # type: ignore[attr-defined]
    names = (*parameter.opts, *parameter.secondary_opts)  # type: ignore[attr-defined]
    return " ".join(f"`{one}`" for one in names)


def _text(parameter: object) -> str:
    """What help says of a parameter, and what only its declaration says."""
    said = [(getattr(parameter, "help", None) or "").strip().replace("|", "\\|")]
    default, other = getattr(parameter, "default", None), getattr(parameter, "secondary_opts", [])
    if isinstance(default, bool):
        default = (parameter.opts if default else other)[0] if other else None  # type: ignore[attr-defined]
    if isinstance(default, int | float | str) and default != "" and "default" not in said[0]:
        said.append(f"Default: `{default}`.")
    if getattr(parameter, "required", False) and parameter.param_type_name == "option":  # type: ignore[attr-defined]
        said.append("Required.")
    if variable := getattr(parameter, "envvar", None):
        said.append(f"The variable `{variable}` says it too.")
    return " ".join(said)
