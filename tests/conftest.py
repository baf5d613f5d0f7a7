"""Settings that every test shares."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ.setdefault("MPLBACKEND", "Agg")

VALIDATE = bool(os.environ.get("CGSIM_VALIDATE"))
"""Set by `make validate`: the slow proofs run in full, not on a sample."""

# The machines that run the tests differ in speed: no deadline per example. In CI the examples are the
# same in every run, so that a failure is the change's and not the draw's.
settings.register_profile("cgsim", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("cgsim")
