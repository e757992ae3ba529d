"""A group of commands whose first may go unnamed: ``compare A B`` is ``compare runs A B``."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

__all__ = ["FirstByDefault"]


class FirstByDefault(TyperGroup):
    """Puts the name of the group's first command before words that name none of its commands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words after the group's name."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [next(iter(self.commands)), *args]
        return super().parse_args(ctx, args)
