"""`python -m cgsim` is the command `cgsim`."""

from __future__ import annotations

import sys

from cgsim.cli import main

sys.exit(main())
