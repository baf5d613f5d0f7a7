"""Settings that every test shares."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

from cgsim.engine.compile_cache import use_compile_cache

os.environ.setdefault("MPLBACKEND", "Agg")

use_compile_cache()  # tests of cgsim.dram alone, too: kernels in __pycache__ go stale

# A shell that starts the tests in the background lets them ignore Ctrl-C, and every process that they start
# inherits that: the tests of Ctrl-C would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

VALIDATE = bool(os.environ.get("CGSIM_VALIDATE"))
"""Set by `make validate`: the slow proofs run in full, not on a sample."""

# The machines that run the tests differ in speed: no deadline per example. In CI the examples are the
# same in every run, so that a failure is the change's and not the draw's.
settings.register_profile("cgsim", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("cgsim")
