"""The three command lines as Markdown, from click's own description of them."""

import re
from collections.abc import Iterator

import click

from calibration.__main__ import cli as calibrate
from edge.__main__ import cli as edge
from training.__main__ import cli as train

GROUPS: dict[str, click.Group] = {"ecg-edge": edge, "ecg-train": train, "ecg-calibrate": calibrate}


def pages(program: str) -> str:
    """Return every command of a program: its text, arguments, options and examples."""
    group = GROUPS[program]
    return "\n\n".join(part for name, command in members(group) for part in _command(f"{program} {name}", command))


def members(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """Yield the commands of a group in its order."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None  # noqa: S101  it was listed
        yield name, command


def examples(command: click.Command) -> str:
    """Return the lines below `Example:` or `Examples:` of a command's help, as one would type them."""
    found = re.search(r"\x08\n\s*Examples?:\n(.*)", command.help or "", re.DOTALL)
    return re.sub(r"^ {2,}", "", found[1], flags=re.MULTILINE).strip() if found else ""


def _command(name: str, command: click.Command) -> Iterator[str]:
    yield f"## {name}"
    text = (command.help or "").partition("\x08")[0]
    yield "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n") if paragraph.strip())
    usage = command.collect_usage_pieces(click.Context(command))
    yield f"Usage: `{' '.join([name, *usage])}`"
    options = [option for option in command.params if isinstance(option, click.Option) and not option.hidden]
    if options:
        yield "\n".join(["| option | default | meaning |", "|---|---|---|", *map(_option, options)])
    if example := examples(command):
        yield f"```sh\n{example}\n```"


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    given = option.default if isinstance(option.default, int | float | str) and not option.is_flag else None
    default = "required" if option.required else "" if given is None else f"`{given}`"
    text = option.help or ""
    more = " Repeatable." if option.multiple and "repeatable" not in text.lower() else ""
    return f"| {names}{_value(option)} | {default} | {_escape(text)}{more} |"


def _value(option: click.Option) -> str:
    """Return what an option takes, with a space before it."""
    match option.type:
        case _ if option.is_flag:
            return ""
        case click.Choice(choices=choices):
            return " " + ", ".join(f"`{choice}`" for choice in choices)
        case click.IntRange() | click.FloatRange() if option.metavar is None:
            bounds = (("from", option.type.min), ("to", option.type.max))
            return " `NUMBER`" + "".join(f" {word} {bound:g}" for word, bound in bounds if bound is not None)
        case _:
            return f" `{option.make_metavar(click.Context(click.Command('x'))).replace('|', '/')}`"


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
