"""Where a result comes from: enough to make it again years later."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cgsim.hardware import Hardware
    from cgsim.trace import Trace


def provenance(trace: Trace, hardware: Hardware, *, command: str = "") -> dict[str, Any]:
    """Return the origin of a run as a JSON object.

    Keys: `trace` (path, name, checksum, network, samples of the whole trace, a hash of their names,
    metadata), `hardware` (the whole validated configuration), `cgsim` (version), `command` (that makes the
    result again, "" if unknown) and `created` (ISO 8601, UTC).
    """
    import cgsim

    return {
        "trace": {
            "path": str(trace.path),
            "name": trace_name(str(trace.path)),
            "checksum": trace.checksum,
            "network": trace.network.name,
            "samples": trace.n_samples,
            "sample_names": sample_names(trace),
            "metadata": dataclasses.asdict(trace.metadata),
        },
        "hardware": hardware.to_dict(),
        "cgsim": cgsim.__version__,
        "command": command,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }


def sample_names(trace: Trace) -> str:
    """Return a hash of the names of a trace's samples in order, 16 hex digits: which images they are."""
    names = "\n".join(sample.id for sample in trace.samples)
    return hashlib.blake2b(names.encode(), digest_size=8).hexdigest()


def trace_name(path: str) -> str:
    """Return the short name of a trace file: its file name without `.trace.parquet`."""
    name = path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    for suffix in (".trace.parquet", ".parquet"):
        if name.endswith(suffix) and name != suffix:
            return name.removesuffix(suffix)
    return name
