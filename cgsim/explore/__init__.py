"""Many runs: grids of hardware keys over traces, comparisons of methods, on the processes of this machine."""

from cgsim.explore.comparisons import compare
from cgsim.explore.execution import Executed, execute
from cgsim.explore.executors import Executor, SerialExecutor
from cgsim.explore.grid import Point, grid_points
from cgsim.explore.plan import Plan, Planned
from cgsim.explore.process_executor import ProcessExecutor
from cgsim.explore.sweeps import PARQUET_FILE, PROVENANCE_FILE, sweep
from cgsim.explore.tasks import Outcome, Task, run_task

__all__ = [
    "PARQUET_FILE",
    "PROVENANCE_FILE",
    "Executed",
    "Executor",
    "Outcome",
    "Plan",
    "Planned",
    "Point",
    "ProcessExecutor",
    "SerialExecutor",
    "Task",
    "compare",
    "execute",
    "grid_points",
    "run_task",
    "sweep",
]
