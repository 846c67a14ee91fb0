"""A command group that imports a command only when it is called, so that each starts fast and loads only what it needs.

All command lines of the project use it.
"""

import importlib
import logging
import sys
from collections.abc import Mapping

import click

_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class LazyGroup(click.Group):
    """Holds commands as `name -> (module, one line of help)`; the module has a click command of the same name.

    A name with a dash stands for a function with an underscore.
    """

    def __init__(self, *args: object, lazy: Mapping[str, tuple[str, str]], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed through as click.Group takes them
        self._lazy = dict(lazy)
        self.help = _unescape(self.help)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the names, in the order in which they were given."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's signature
        """Import the command's module and return the command."""
        if cmd_name not in self._lazy:
            return None
        command = getattr(importlib.import_module(self._lazy[cmd_name][0]), cmd_name.replace("-", "_"))
        if not isinstance(command, click.Command):
            raise TypeError(f"{cmd_name} is not a command")
        command.help = _unescape(command.help)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  as above
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self._lazy.items()])


def _unescape(text: str | None) -> str | None:
    r"""Turn the two characters `\b` of a raw docstring into the control character that stops click from wrapping."""
    return text and text.replace("\\b\n", "\b\n")


def run(group: click.Group, expected: type[Exception] | tuple[type[Exception], ...]) -> None:
    """Run a command line: exit with 0, with 1 and one line for an expected error, or with 2 for wrong usage.

    Ctrl-C exits with 130, silently, unless the command handles it.
    """
    logging.basicConfig(level=logging.WARNING, format=_LOG_FORMAT, stream=sys.stderr)
    try:
        # Not standalone, because click would handle the errors itself, with other exit codes.
        sys.exit(group.main(standalone_mode=False) or 0)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except expected as exc:
        click.echo(f"{group.name}: {exc}", err=True)
        sys.exit(1)
    except BrokenPipeError:  # the reader of our output has ended, such as `| head`
        sys.stderr.close()
        sys.exit(1)
