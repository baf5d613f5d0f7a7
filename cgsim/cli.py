"""The command `cgsim`: finds the command asked for and tells bad input in one line.

The commands themselves are in `cgsim/commands/`, one file for each group. Nothing heavy is imported before a
command runs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cgsim import __version__
from cgsim.errors import CgsimError, ListedError

if TYPE_CHECKING:
    from cgsim.commands.parser import Parser

BAD_INPUT = 2
INTERRUPTED = 130
TERMINATED = 143
BROKEN_PIPE = 141
EXIT_CODES = {
    0: "done",
    1: "done, but not all is well: some runs failed, a search found nothing\n"
    "feasible, doctor misses something",
    BAD_INPUT: "bad input, told in one line on stderr; nothing is half-written",
    INTERRUPTED: "interrupted (Ctrl-C)",
    BROKEN_PIPE: "the reader of the output is gone",
    TERMINATED: "terminated (SIGTERM)",
}
"""What the exit codes of every command mean. 1 is what a command returns, the others are `main`'s."""


def build_parser() -> Parser:
    """Return the parser of every command."""
    # Imported here, not above, so that Ctrl-C while they load is told like any other.
    from cgsim.commands import (
        compare,
        completion,
        doctor,
        dram,
        hardware,
        merge,
        models,
        optimize,
        paired,
        plot,
        report,
        simulate,
        sweep,
        trace,
    )
    from cgsim.commands.parser import Parser

    parser = Parser(
        prog="cgsim",
        description="What does a gated CNN really gain on real hardware? cgsim replays the gates that\n"
        "a trained model produced, image by image, on a cycle-level accelerator model,\n"
        "gated and dense side by side.",
        epilog="example:\n"
        "  cgsim simulate traces/resnet20-cgnet.trace.parquet --hardware asic-28nm\n"
        "\n"
        f"exit codes:\n{_told_codes()}\n"
        "\n"
        "cgsim COMMAND --help tells more. Every command takes --json.\n"
        "Output is coloured on terminals only; NO_COLOR and FORCE_COLOR are heeded.",
    )
    parser.add_argument("--version", action="version", version=f"cgsim {__version__}")
    commands = parser.commands()
    for module in (
        models,
        merge,
        simulate,
        sweep,
        optimize,
        compare,
        paired,
        plot,
        report,
        trace,
        hardware,
        dram,
        doctor,
        completion,
    ):
        module.add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code, one of `EXIT_CODES`.

    A command that returns None is done (0). The text of a KeyboardInterrupt, if it has one, is told.
    """
    if argv is None:
        argv = sys.argv[1:]
        signal.signal(signal.SIGTERM, _terminate)
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):  # tables have × and ─, which some terminals do not know
                stream.reconfigure(errors="replace")
    try:
        parser = build_parser()
        if "_ARGCOMPLETE" in os.environ:  # a shell asks, and is answered here
            from cgsim.commands.completion import answer_shell

            answer_shell(parser)
        arguments = parser.parse_args(list(argv))
        arguments.argv = list(argv)
        code: int | None = arguments.run(arguments)
        if sys.stdout is not None:  # it is None where the shell closed it (>&-)
            sys.stdout.flush()
    except ListedError as error:
        return _fail_with_list(error)
    except CgsimError as error:
        return _fail(str(error))
    except KeyboardInterrupt as stop:
        print(f"cgsim: interrupted{f': {stop}' if str(stop) else ''}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Python would complain again when it flushes stdout on its way out.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "cgsim":
            raise
        return _fail(f"{error.name} is not installed; cgsim doctor tells how to get it")
    except MemoryError as error:
        return _fail(f"out of memory{f': {error}' if str(error) else ''}")
    except RuntimeError as error:  # torch has no MemoryError
        if "allocate memory" not in str(error) and "out of memory" not in str(error):
            raise
        return _fail(f"out of memory: {error}")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}")
    return code or 0


def _told_codes() -> str:
    return "\n".join(
        f"  {code:<5}{meaning}".replace("\n", "\n" + 7 * " ") for code, meaning in EXIT_CODES.items()
    )


def _fail(message: str) -> int:
    with contextlib.suppress(BrokenPipeError):
        from cgsim.commands.colour import paint

        head = paint("cgsim: error:", "bold", "red", stream=sys.stderr)
        print(f"{head} {' '.join(message.split())}", file=sys.stderr)
    return BAD_INPUT


def _fail_with_list(error: ListedError) -> int:
    """Tell several problems one below the other, a single one on the same line."""
    if len(error.problems) == 1:
        return _fail(str(error))
    from cgsim.commands.text import paragraph

    code = _fail(f"{error.head}:")
    with contextlib.suppress(BrokenPipeError):
        for problem in error.problems:
            print(paragraph(f"  {problem}", indent="    "), file=sys.stderr)
    return code


def _terminate(*_: Any) -> None:
    """Leave through every `finally`, so that no temporary file stays behind."""
    raise SystemExit(TERMINATED)


if __name__ == "__main__":
    sys.exit(main())
