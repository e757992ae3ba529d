"""What mkdocs fills in while it builds: tables of names, of entry-point groups and of commands, and cross-references.

These come from the package as it is installed, so a new row or option needs no edit here. A page asks for them by
``<!-- names -->``, ``<!-- groups -->``, ``<!-- commands -->`` and ``<!-- toy -->``, two layers sparsified by hand.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import nervure
from nervure.registry import Table

ROLE = re.compile(r":(?:func|class|meth|mod|attr|data|exc):<code>~?([\w.]+)</code>")
OWN_CALL = {
    "criterion": "a subclass of `nervure.judge.Criterion`",
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
    for marker, make in (("names", names), ("groups", groups), ("commands", commands), ("toy", toy)):
        place = f"<!-- {marker} -->"
        if place in markdown:
            markdown = markdown.replace(place, make())
    return markdown


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
            yield from (value for value in vars(module).values() if isinstance(value, Table))


def names() -> str:
    """A heading and a table of rows for each kind."""
    parts = []
    for table in sorted(tables(), key=lambda table: table.kind):
        if table.rows:
            lines = [f"| `{name}` | {row.line} | {row.source} |" for name, row in table.rows.items()]
            parts.append("\n".join([f"## {table.kind.capitalize()}", "", "| name | what it is | source |",
                                    "| --- | --- | --- |", *lines, ""]))  # fmt: skip
    return "\n".join(parts)


def groups() -> str:
    """A table of the entry-point groups, and what a row of each must be."""
    lines = [f"| `{table.group}` | {table.kind} | {OWN_CALL.get(table.kind, 'see its page under API')} |"
             for table in sorted(tables(), key=lambda table: (table.group, table.kind))]  # fmt: skip
    return "\n".join(["| group | a row is a | and stands for |", "| --- | --- | --- |", *lines])


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
    return " ".join(f"`{one}`" for one in parameter.opts)  # type: ignore[attr-defined]


def _text(parameter: object) -> str:
    help_ = (getattr(parameter, "help", None) or "").strip().replace("|", "\\|")
    default = getattr(parameter, "default", None)
    plain = isinstance(default, int | float | str) and not isinstance(default, bool) and default != ""
    return f"{help_} Default: `{default}`." if plain and "default" not in help_ else help_
