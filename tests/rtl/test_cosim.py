"""Random layers through the RTL: outputs are PyTorch's, cycles the kernels' and the stepped reference's."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tests.conftest import VALIDATE
from tests.rtl import golden
from tests.rtl.cases import BUILDS, SAMPLED, Build, Case, case, numbers
from tests.rtl.compare import differences
from tests.rtl.cosim import Job, Result, run
from tests.rtl.descriptors import describe
from tests.rtl.simulator import BuildKey

EACH = 250 if VALIDATE else 25
"""Cases per array."""

START = int(os.environ.get("CGSIM_RTL_START", "0")) if VALIDATE else 0
"""First round of cases: another value tries layers that were never tried."""

PROCESSES = min(4, os.cpu_count() or 1)


def job(tried: Case) -> Job:
    return Job(tried.layer, tried.hardware, tried.inputs, tried.weights, tried.thresholds, tried.pixel_gates)


def report(tried: Case, found: list[str]) -> str:
    return f"{tried}\n    " + "\n    ".join(found)


@pytest.mark.usefixtures("simulators")
@pytest.mark.parametrize("build", BUILDS if VALIDATE else SAMPLED, ids=str)
def test_random_layers(build: Build, agreed: Callable[[str, int], None]) -> None:
    tried = [case(number) for number in numbers((build,), EACH, START)]
    results = run([job(one) for one in tried], PROCESSES)
    compared = [differences(job(one), result) for one, result in zip(tried, results, strict=True)]
    agreed("random layers: outputs, decisions, cycles and phases", sum(not found for found in compared))
    failed = [report(one, found) for one, found in zip(tried, compared, strict=True) if found]
    assert not failed, f"{len(failed)} of {len(tried)} layers differ:\n" + "\n".join(failed)


def test_cases_reach_everything() -> None:
    """What a normal run draws holds every option and every kind of layer that the RTL knows."""
    seen: Counter[str] = Counter()
    for number in numbers(SAMPLED, 25):
        tried = case(number)
        layer, array, unit = tried.layer, tried.hardware.array, tried.hardware.gate_unit
        paths = "dense" if tried.thresholds is None and tried.pixel_gates is None else "gated"
        seen.update([f"{array.dataflow} {array.pipelining}", f"{array.dataflow} {unit.group_sync} {paths}"])
        seen.update([f"{array.dataflow} gates {tried.gates.split()[0]}", f"banks {unit.activation_banks}"])
        seen.update([f"scan {unit.scan_bits_per_cycle}", f"fifo {unit.fifo_depth}", f"batch {tried.batch}"])
        seen["block order"] += array.dataflow == "is" and tried.hardware.mapping.pixel_order == "block"
        seen["linear"] += layer.operator == "linear"
        seen["one pixel"] += layer.pixels == 1
        seen["one channel"] += layer.out_channels == 1
        seen["one input channel"] += layer.in_shape[0] == 1
        seen["grouped"] += 1 < layer.groups < layer.in_shape[0]
        seen["depthwise"] += layer.groups == layer.in_shape[0] > 1
        seen["base groups"] += layer.base_groups > 1
        left = layer.in_shape[0] // layer.groups - layer.base_channels * layer.base_groups
        seen["leftover channels"] += bool(layer.base_groups > 1 and left)
        seen["no leftover channels"] += bool(layer.base_groups > 1 and not left)
        seen["strided"] += max(layer.stride) > 1
        seen["dilated"] += max(layer.dilation) > 1
        seen["padded"] += max(layer.padding) > 0
        seen["rows not divided"] += layer.reduction % array.rows > 0
        seen["columns not divided"] += layer.out_channels % array.group_cols > 0
        seen["-128"] += bool((tried.inputs == -128).any() and (tried.weights == -128).any())
    wanted = {
        f"{flow} {kind}" for flow in ("ws", "is", "os") for kind in ("overlapped", "serial", "scalesim")
    }
    wanted |= {f"{flow} {sync} gated" for flow in ("ws", "is", "os") for sync in ("fold", "tile", "layer")}
    wanted |= {
        f"{flow} gates {kind}" for flow in ("ws", "is", "os") for kind in ("none", "on", "off", "some")
    }
    wanted |= {f"{flow} gates pixels" for flow in ("ws", "is", "os")} | {
        f"banks {n}" for n in (1, 2, 3, 4, 8)
    }
    wanted |= {
        "banks ideal",
        "scan 1",
        "scan 65536",
        "fifo 1",
        "fifo 64",
        "batch 2",
        "batch 3",
        "block order",
    }
    wanted |= {"linear", "one pixel", "one channel", "one input channel", "grouped", "depthwise", "-128"}
    wanted |= {"base groups", "leftover channels", "no leftover channels", "strided", "dilated", "padded"}
    wanted |= {"rows not divided", "columns not divided"}
    assert not {name for name in wanted if not seen[name]}


def test_a_case_is_of_its_build() -> None:
    """Otherwise a run would build more simulators than it says."""
    for number in numbers(SAMPLED, 10):
        tried = case(number)
        program = describe(
            tried.layer,
            tried.hardware,
            tried.inputs,
            tried.weights,
            tried.thresholds,
            tried.pixel_gates,
        )
        assert program.build == BuildKey(**vars(tried.build)), str(tried)


def test_a_number_is_a_case() -> None:
    first, again, other = case(17), case(17), case(17 + len(BUILDS))
    assert str(first) == str(again)
    assert str(first) != str(other)
    assert first.build == other.build
    assert np.array_equal(first.inputs, again.inputs)
    assert np.array_equal(first.weights, again.weights)


@cache
def gated() -> tuple[Case, Result]:
    """A case with some gates on, and what the RTL made of it."""
    for number in numbers(SAMPLED[:1], 100):
        tried = case(number)
        _, gates = golden.computed(tried.layer, tried.inputs, tried.weights, tried.thresholds, None)
        if tried.gates == "some" and gates is not None and gates[:, 0].any() and not gates.all():
            return tried, run([job(tried)])[0]
    raise AssertionError("no such case among the first hundred")


@pytest.mark.usefixtures("rtl")
@pytest.mark.parametrize(
    "name", ["base_start", "base_end", "decided", "conditional_start", "conditional_end", "last_result"]
)
def test_a_wrong_phase_is_seen(name: str) -> None:
    tried, result = gated()
    assert differences(job(tried), result) == []
    moved = {**result.events, name: result.events[name] + 1}
    assert [line.split(":")[0] for line in differences(job(tried), replace(result, events=moved))] == [name]
    del moved[name]
    assert [line.split(":")[0] for line in differences(job(tried), replace(result, events=moved))] == [name]


@pytest.mark.usefixtures("rtl")
def test_wrong_numbers_are_seen() -> None:
    tried, result = gated()
    assert result.gates is not None
    cycle = differences(job(tried), replace(result, cycles=result.cycles - 1))
    assert [line.split(":")[0] for line in cycle] == ["cycles", "cycles"]
    outputs, gates = result.outputs.copy(), result.gates.copy()
    outputs[0, -1, -1] += 1
    gates[0, 0, 0] ^= True
    assert differences(job(tried), replace(result, outputs=outputs))[0].startswith("outputs: 1 of")
    assert differences(job(tried), replace(result, gates=gates))[0].startswith("gates: 1 of")
    assert differences(job(tried), replace(result, gates=None))[0].startswith("gates: False")


@pytest.mark.usefixtures("rtl")
def test_another_layer_is_seen() -> None:
    """The RTL computes what it is given: one threshold, weight or option changed shows in its results."""
    tried, _ = gated()
    assert tried.thresholds is not None
    base = golden.base_sums(tried.layer, tried.inputs, tried.weights)
    thresholds = tried.thresholds.copy()
    thresholds[0] = base[:, 0].max() if base[0, 0, 0] > thresholds[0] else base[:, 0].min() - 1
    weights = tried.weights.copy()
    weights[0, 0] ^= 1
    slower = tried.hardware.gate_unit.compare_latency + 1
    changed = [
        replace(job(tried), thresholds=thresholds),
        replace(job(tried), weights=weights),
        replace(job(tried), hardware=tried.hardware.override({"gate_unit.compare_latency": slower})),
    ]
    found = [" ".join(differences(job(tried), result)) for result in run(changed)]
    for line, name in zip(found, ("gates: ", "outputs: ", "decided: "), strict=True):
        assert name in line
