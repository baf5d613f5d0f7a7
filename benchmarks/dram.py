"""Requests per second of the DRAM controllers, beside those of the tools whose rules two of them follow.

    python benchmarks/dram.py [--repeat 5] [--requests 200000]

One core, warm kernels, CPU seconds of the controller alone, best of the repeats. `plain` goes from command
to command, `jump` skips periodic stretches exactly. The tools' figures: DDR4-2400, 100,000 requests, CPU
seconds of the simulation loop, best of 5, measured on another 2-core machine with other work on it.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
from numba import njit

from cgsim.dram.controller import Config, Controller, controller, drain, serve
from cgsim.dram.controller_state import JUMPED

TOOLS = {
    "sequential": (149_522, 189_538),
    "tiles": (125_802, 151_630),
    "stride": (194_212, 147_863),
    "random": (100_624, 75_375),
}
"""Requests per second of Ramulator 2.1 and DRAMsim3 on like streams (their stride is 4 KiB)."""
Runs = np.ndarray
"""int64 [runs, 4]: first byte, step, requests, write."""


def streams(size: int, requests: int) -> dict[str, Runs]:
    """Streams of requests of `size` bytes as runs."""
    tile = 4096 // size
    tiles = [
        ((k << 28) + 4096 * i, size, tile, k == 2) for i in range(requests // tile // 3) for k in range(3)
    ]
    random = np.random.Generator(np.random.PCG64(777))
    singles = np.zeros((requests, 4), np.int64)
    singles[:, 0] = random.integers(0, (1 << 30) // size, requests) * size
    singles[:, 2] = 1
    singles[:, 3] = random.random(requests) < 1 / 3
    return {
        "sequential": np.array([(0, size, requests, 0)], np.int64),
        "64 KiB runs": np.array(
            [(i << 20, size, 65536 // size, i % 4 == 3) for i in range(requests * size >> 16)], np.int64
        ),
        "tiles": np.array(tiles, np.int64),
        "stride": np.array([(0, 8192, min(requests, 1 << 17), 0)], np.int64),
        "random": singles,
    }


@njit(cache=True)
def offer(c: Controller, runs: np.ndarray) -> int:
    """Offer all runs; the clock at the end."""
    for run in range(len(runs)):
        serve(c, runs[run, 0], runs[run, 1], runs[run, 2], runs[run, 3] != 0, run & 31, runs[run, 3] * 0)
    return drain(c)


def speed(config: Config, runs: Runs, repeat: int) -> tuple[float, float, float]:
    """(requests per second, clocks per request, share of requests jumped over)."""
    best = np.inf
    for _ in range(repeat + 1):
        c = controller(config)
        start = time.process_time()
        clocks = offer(c, runs)
        best = min(best, time.process_time() - start)
    requests = runs[:, 2].sum()
    return requests / best, clocks / requests, c.state[JUMPED] / requests


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--requests", type=int, default=200_000)
    options = parser.parse_args()
    print(f"{'':38}{'plain':>10}{'jump':>10}{'jumped':>8}{'clocks':>9}   Ramulator, DRAMsim3")
    print(f"{'memory':24}{'stream':14}{'M/s':>10}{'M/s':>10}{'':>8}{'/request':>9}   M/s")
    for config in (
        Config("DDR4-2400"),
        Config("DDR4-2400", max_outstanding=64),
        Config("LPDDR4-2400"),
        Config("LPDDR5-6400", inj=4),
        Config("HBM2-2000", inj=4),
        Config("HBM2-2000", channels=8, inj=16),
    ):
        name = f"{config.standard} x{config.channels}" + (" 64 ahead" if config.max_outstanding else "")
        for stream, runs in streams(config.request_bytes, options.requests).items():
            plain, clocks, _ = speed(replace(config, jump=False), runs, options.repeat)
            jump, _, jumped = speed(config, runs, options.repeat)
            known = TOOLS.get(stream, ()) if config == Config("DDR4-2400") else ()
            tools = ", ".join(f"{one / 1e6:.2f}" for one in known)
            speeds = f"{plain / 1e6:10.2f}{jump / 1e6:10.2f}{jumped:8.0%}{clocks:9.3f}"
            print(f"{name:24}{stream:14}{speeds}   {tools}")


if __name__ == "__main__":
    main()
