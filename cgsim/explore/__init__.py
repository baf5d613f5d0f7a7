"""Many runs: grids of hardware keys over traces, comparisons of methods, on the processes of this machine."""

from cgsim.explore.comparisons import compare
from cgsim.explore.execution import Executed, execute
from cgsim.explore.executors import Executor, SerialExecutor
from cgsim.explore.experiment import Experiment
from cgsim.explore.grid import Point, grid_points
from cgsim.explore.optimization import optimize
from cgsim.explore.plan import Plan, Planned
from cgsim.explore.process_executor import ProcessExecutor
from cgsim.explore.search import Search
from cgsim.explore.sweeps import PARQUET_FILE, PROVENANCE_FILE, SAMPLES_FILE, run_experiment, sweep
from cgsim.explore.tasks import Outcome, Task, run_task

__all__ = [
    "PARQUET_FILE",
    "PROVENANCE_FILE",
    "SAMPLES_FILE",
    "Executed",
    "Executor",
    "Experiment",
    "Outcome",
    "Plan",
    "Planned",
    "Point",
    "ProcessExecutor",
    "Search",
    "SerialExecutor",
    "Task",
    "compare",
    "execute",
    "grid_points",
    "optimize",
    "run_experiment",
    "run_task",
    "sweep",
]
