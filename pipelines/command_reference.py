"""The reference of the command line, written from the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

SHARED = ("workspace", "settings_path", "quiet", "json_path", "help")
"""Parameters that every verb has, told once."""


def command_reference(group: click.Group) -> Iterator[str]:
    """Write every verb in Markdown: what it does, its options, its examples."""
    verbs = dict(verbs_of(group))
    name, first = next(iter(verbs.items()))
    yield from ("## The command line", "")
    yield from ("`lifecycle VERB [OPTIONS]`. Every verb has these options, and `--help`.", "")
    yield from _options([one for one in first.params if one.name in SHARED], name)
    for name, command in verbs.items():
        about, examples = _help(command)
        yield from (f"### lifecycle {name}", "")
        for paragraph in about:
            yield from (paragraph, "")
        yield from _options([one for one in command.params if one.name not in SHARED], name)
        yield from ("```text", *examples, "```", "")


def verbs_of(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """Give every verb by its words, those of a group in the group's place."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from verbs_of(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def examples_of(command: click.Command) -> list[str]:
    """Give the examples in a verb's help, each a line."""
    return _help(command)[1]


def _help(command: click.Command) -> tuple[list[str], list[str]]:
    """Part a help text into paragraphs and the examples, which click leaves as they are."""
    told, _, examples = inspect.cleandoc(command.help or "").partition("\b\n")
    paragraphs = [" ".join(one.split()) for one in told.split("\n\n") if one.strip()]
    return paragraphs, examples.rstrip().splitlines()


def _options(parameters: list[click.Parameter], verb: str) -> Iterator[str]:
    if not parameters:
        return
    yield from ("| option | meaning |", "|---|---|")
    context = click.Context(click.Command(verb))
    for one in parameters:
        needed = "needed" if one.required else "may be left out"
        words, about = one.get_help_record(context) or (one.human_readable_name, needed)
        cells = f"`{words}`", " ".join(about.split())
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""
