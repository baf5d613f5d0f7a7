"""How commands are parsed and how they answer: shared by all of them."""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from cgsim.commands.colour import paint
from cgsim.errors import CgsimError, nearest

WIDTH = 80


_PLAINER = {
    r"invalid float value: (.*)": r"expected a number, got \1",
    r"invalid int value: (.*)": r"expected a whole number, got \1",
    r"ignored explicit argument (.*)": r"takes no value, got \1",
}
"""Messages of argparse, and what says the same to those who do not program."""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=min(WIDTH, shutil.get_terminal_size().columns) - 1)


class Parser(argparse.ArgumentParser):
    """An argument parser that raises CgsimError in one line, with the nearest valid name."""

    def __init__(self, **keywords: Any) -> None:
        self._options: list[str] = []
        self._commands: argparse._SubParsersAction[Parser] | None = None
        self.summary = ""
        """What the list of commands says of this one."""
        super().__init__(formatter_class=_Formatter, allow_abbrev=False, **keywords)

    def add_argument(self, *names: Any, **keywords: Any) -> argparse.Action:
        """Add an argument and remember its name, to be suggested for misspelt ones."""
        self._options += [name for name in names if name.startswith("--")]
        return super().add_argument(*names, **keywords)

    def commands(self) -> argparse._SubParsersAction[Parser]:
        """Return the place to which sub-commands are added."""
        self._commands = self.add_subparsers(metavar="COMMAND", required=True, title="commands")
        return self._commands

    def walk(self) -> Iterator[Parser]:
        """Yield this parser and those of all of its commands, in the order of the help."""
        yield self
        for parser in self._commands.choices.values() if self._commands is not None else ():
            yield from parser.walk()

    def arguments(self) -> list[argparse.Action]:
        """Return what is given by position, what is required, the options; not `--help`, nor commands."""
        left_out = (argparse._HelpAction, argparse._SubParsersAction)
        found = [action for action in self._actions if not isinstance(action, left_out)]
        return sorted(found, key=lambda one: (bool(one.option_strings), not one.required, one.dest == "json"))

    def told(self, action: argparse.Action) -> str:
        """Return the help text of an argument, its default filled in."""
        return self._get_formatter()._expand_help(action) if action.help else ""

    @property
    def is_group(self) -> bool:
        """True if what follows is a command, as behind `cgsim trace`."""
        return self._commands is not None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, after refusing misspelt options, which argparse would report only after missing ones."""
        for arg in args or ():
            if arg == "--" or (self._commands is not None and not arg.startswith("-")):
                break
            name = arg.partition("=")[0]
            if name.startswith("--") and name not in self._options:
                raise CgsimError(f"unknown option {name!r}{nearest(name, self._options)}")
        found, left = super().parse_known_args(args, namespace)
        if left and not self.is_group:  # argparse would name the help of cgsim, not of this command
            what = "unknown option" if left[0].startswith("-") else "unexpected argument"
            self.error(f"{what} {left[0]!r}")
        return found, left

    def error(self, message: str) -> NoReturn:
        """Raise CgsimError with argparse's message, its list of choices replaced by the nearest one."""
        found = re.match(r"(?:argument (.*?): )?invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if found:
            what, given, choices = found.groups()
            what = "command" if what in (None, "COMMAND") else what
            valid = [choice.strip(" '") for choice in choices.split(",")]
            raise CgsimError(f"unknown {what} {given!r}{nearest(given, valid)}")
        for pattern, words in _PLAINER.items():
            message = re.sub(pattern, words, message)
        raise CgsimError(f"{message} (see {self.prog} --help)")


def add_command(
    commands: argparse._SubParsersAction[Parser],
    name: str,
    run: Callable[[argparse.Namespace], int | None],
    summary: str,
    description: str,
    *examples: str,
) -> Parser:
    """Add a command with `--json`; its help ends with examples.

    `run` returns the exit code, one of `cgsim.cli.EXIT_CODES`; None is 0.
    """
    parser = commands.add_parser(
        name,
        help=summary,
        description=textwrap.fill(description, WIDTH - 1),
        epilog=told_examples(*examples),
    )
    parser.summary = summary
    parser.set_defaults(run=run)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    return parser


def told_examples(*examples: str) -> str:
    """Return the end of a help text."""
    head = "example:" if len(examples) == 1 else "examples:"
    return "\n".join([head, *(textwrap.indent(example, "  ") for example in examples)])


def add_hardware(parser: Parser, settings: str) -> None:
    """Add `--hardware` and `--set`."""
    parser.add_argument(
        "--hardware",
        required=True,
        metavar="HW",
        help="accelerator: a name of `cgsim hardware list`, or a YAML file",
    )
    add_settings(parser, settings)


def add_settings(parser: Parser, text: str) -> None:
    """Add `--set`, which may be given many times."""
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE", help=text)


def parse_settings(settings: Sequence[str]) -> dict[str, list[Any]]:
    """Return key -> values of `--set key=value,value...`; raises CgsimError if a key is given twice."""
    from cgsim.hardware import parse_setting

    parsed: dict[str, list[Any]] = {}
    for text in settings:
        key, values = parse_setting(text)
        if key in parsed:
            raise CgsimError(f"--set {key}: given twice")
        parsed[key] = values
    return parsed


def single_settings(settings: Sequence[str], otherwise: str = "use cgsim sweep for a list") -> dict[str, Any]:
    """Return key -> value; raises CgsimError for a list."""
    parsed = parse_settings(settings)
    for key, values in parsed.items():
        if len(values) != 1:
            raise CgsimError(f"--set {key}: {len(values)} values where one is expected; {otherwise}")
    return {key: values[0] for key, values in parsed.items()}


def positive(text: str) -> int:
    """Parse a positive integer."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of 1 or more, got {text!r}")
    return value


def natural(text: str) -> int:
    """Parse an integer of 0 or more."""
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected a whole number of 0 or more, got {text!r}")
    return value


def command_line(arguments: argparse.Namespace) -> str:
    """Return the command as typed, for the provenance."""
    return shlex.join(["cgsim", *arguments.argv])


def interactive() -> bool:
    """Return True if progress bars would be seen."""
    return sys.stderr.isatty()


def print_json(value: Any) -> None:
    """Print one JSON document: valid, without NaN."""
    from cgsim.results.files import to_json_text

    print(to_json_text(value))


def print_notes(notes: Sequence[str]) -> None:
    """Print remarks, a paragraph each."""
    for note in notes:
        told = textwrap.fill(f"note: {note}", WIDTH - 1, subsequent_indent="  ", break_on_hyphens=False)
        print(paint("note:", "cyan") + told.removeprefix("note:"))


def told_written(folder: object, names: Sequence[str]) -> str:
    """Say which files now lie in a folder."""
    return textwrap.fill(
        f"written to {folder}: {', '.join(names)}",
        WIDTH,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
