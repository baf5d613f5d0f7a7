"""Gate traces: the file format that joins models and the simulator (docs/trace-format.md).

Names are loaded on first use, so that importing this package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cgsim.errors import CgsimError
from cgsim.lazy import lazy

if TYPE_CHECKING:
    from cgsim.trace.check import check_trace as check_trace
    from cgsim.trace.check import info as info
    from cgsim.trace.edit import merge as merge
    from cgsim.trace.edit import subset as subset
    from cgsim.trace.macs import executed_macs as executed_macs
    from cgsim.trace.metadata import FORMAT_VERSION as FORMAT_VERSION
    from cgsim.trace.metadata import METHODS as METHODS
    from cgsim.trace.metadata import Metadata as Metadata
    from cgsim.trace.metadata import Sample as Sample
    from cgsim.trace.network import INPUT as INPUT
    from cgsim.trace.network import Layer as Layer
    from cgsim.trace.network import Network as Network
    from cgsim.trace.networks import NETWORKS as NETWORKS
    from cgsim.trace.networks import build_network as build_network
    from cgsim.trace.networks import resnet18_imagenet as resnet18_imagenet
    from cgsim.trace.networks import resnet20_cifar as resnet20_cifar
    from cgsim.trace.networks import tiny_network as tiny_network
    from cgsim.trace.pack import bytes_to_words as bytes_to_words
    from cgsim.trace.pack import count_bits as count_bits
    from cgsim.trace.pack import pack_bits as pack_bits
    from cgsim.trace.pack import unpack_bits as unpack_bits
    from cgsim.trace.pack import words_to_bits as words_to_bits
    from cgsim.trace.profile import LayerProfile as LayerProfile
    from cgsim.trace.profile import Profile as Profile
    from cgsim.trace.profile import fit as fit
    from cgsim.trace.reader import Trace as Trace
    from cgsim.trace.reader import load_trace as load_trace
    from cgsim.trace.statistics import LayerStatistics as LayerStatistics
    from cgsim.trace.statistics import layer_statistics as layer_statistics
    from cgsim.trace.statistics import stats as stats
    from cgsim.trace.synth import synthesize as synthesize
    from cgsim.trace.synth import transplant as transplant
    from cgsim.trace.writer import TraceWriter as TraceWriter

_MODULES = {
    "check": ("check_trace", "info"),
    "edit": ("merge", "subset"),
    "macs": ("executed_macs",),
    "metadata": ("FORMAT_VERSION", "METHODS", "Metadata", "Sample"),
    "network": ("INPUT", "Layer", "Network"),
    "networks": ("NETWORKS", "build_network", "resnet18_imagenet", "resnet20_cifar", "tiny_network"),
    "pack": ("bytes_to_words", "count_bits", "pack_bits", "unpack_bits", "words_to_bits"),
    "profile": ("LayerProfile", "Profile", "fit"),
    "reader": ("Trace", "load_trace"),
    "statistics": ("LayerStatistics", "layer_statistics", "stats"),
    "synth": ("synthesize", "transplant"),
    "writer": ("TraceWriter",),
}
__all__ = ["CgsimError", *sorted(name for names in _MODULES.values() for name in names)]  # noqa: PLE0604
__getattr__, __dir__ = lazy(__name__, _MODULES)
