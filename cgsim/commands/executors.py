"""Where the runs of a command happen: `--workers`, `--dask`, `--split-samples`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cgsim.commands.parser import Parser, positive
from cgsim.errors import CgsimError


def add_executor(parser: Parser, split: bool = True) -> None:
    """Add the options; `split`: that a run may be spread, too."""
    parser.add_argument(
        "--workers", type=positive, metavar="N", help="processes (default: one for each core; 1: this one)"
    )
    parser.add_argument(
        "--dask", metavar="ADDRESS", help="on a Dask cluster instead: its scheduler, such as tcp://host:8786"
    )
    if split:
        parser.add_argument(
            "--split-samples", type=positive, metavar="N", help="spread each run, N samples to a task"
        )


@contextmanager
def opened_executor(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Give the options `workers` or `executor` of `cgsim.run_experiment`.

    Raises CgsimError if both are asked for, or the cluster cannot be reached.
    """
    from cgsim.explore.executors import available_cpus

    if arguments.dask is None:
        yield {"workers": arguments.workers or available_cpus()}
        return
    if arguments.workers is not None:
        raise CgsimError("--workers and --dask exclude each other: the cluster has its own workers")
    from cgsim.explore.dask_executor import DaskExecutor

    with DaskExecutor(arguments.dask) as executor:
        yield {"executor": executor}
