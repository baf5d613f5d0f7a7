"""`cgsim completion`, and the answer to a shell that completes."""

from __future__ import annotations

import argparse

from cgsim.commands.parser import Parser, add_command, print_json

SHELLS = {
    "bash": "~/.local/share/bash-completion/completions/cgsim",
    "zsh": "~/.zfunc/_cgsim",
    "fish": "~/.config/fish/completions/cgsim.fish",
}
"""Shells, and the file in which each looks for the completion of cgsim."""
_ZSH = """
zsh looks there if ~/.zshrc says so:
  fpath+=~/.zfunc; autoload -Uz compinit; compinit"""


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "completion",
        run,
        "completion of commands, options and values in your shell",
        "Print the script with which a shell completes commands, options and values: accelerators, keys of "
        "--set, traces. Put it where the shell looks for it, as below (the folder must exist), and start a "
        "new shell.",
        *(f"cgsim completion {shell} > {path}" for shell, path in SHELLS.items()),
    )
    parser.epilog = f"{parser.epilog}\n{_ZSH}"
    parser.add_argument("shell", choices=tuple(SHELLS), metavar="SHELL", help=", ".join(SHELLS))


def run(arguments: argparse.Namespace) -> None:
    """Print the script of one shell."""
    from argcomplete.shell_integration import shellcode

    script = shellcode(["cgsim"], shell=arguments.shell).strip()
    if arguments.json:
        print_json({"shell": arguments.shell, "file": SHELLS[arguments.shell], "script": script})
        return
    print(script)


def answer_shell(parser: Parser) -> None:
    """Write the completions that the shell asks for (`_ARGCOMPLETE` in the environment) and exit."""
    import argcomplete

    from cgsim.commands.completers import completer_of

    for command in parser.walk():
        for action in command.arguments():
            if action.choices is None:
                action.completer = completer_of(action, command.prog)  # type: ignore[attr-defined]
    argcomplete.autocomplete(parser, always_complete_options="long")
