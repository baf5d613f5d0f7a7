"""Everything PyTorch: gated layers, networks, data sets, training, and recording gates into a trace.

Names are loaded on first use; `import cgsim.models` alone does not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cgsim.lazy import lazy

if TYPE_CHECKING:
    from cgsim.models.commands import evaluate_command as evaluate_command
    from cgsim.models.commands import quantize_command as quantize_command
    from cgsim.models.commands import record_command as record_command
    from cgsim.models.commands import train_command as train_command
    from cgsim.models.cosimulation import LayerCase as LayerCase
    from cgsim.models.cosimulation import load_cosimulation as load_cosimulation
    from cgsim.models.data import Dataset as Dataset
    from cgsim.models.data import ImageSet as ImageSet
    from cgsim.models.difficulty import Difficulty as Difficulty
    from cgsim.models.difficulty import measure_difficulty as measure_difficulty
    from cgsim.models.difficulty import run_difficulty as run_difficulty
    from cgsim.models.evaluation import Evaluation as Evaluation
    from cgsim.models.evaluation import Normalize as Normalize
    from cgsim.models.evaluation import evaluate as evaluate
    from cgsim.models.graph import derive_network as derive_network
    from cgsim.models.layers.batch_shaping import BatchShapedConv2d as BatchShapedConv2d
    from cgsim.models.layers.batch_shaping import batch_shaping_loss as batch_shaping_loss
    from cgsim.models.layers.cgnet import CGConv2d as CGConv2d
    from cgsim.models.layers.thresholds import calibrate_thresholds as calibrate_thresholds
    from cgsim.models.layers.thresholds import threshold_loss as threshold_loss
    from cgsim.models.loading import load_dataset as load_dataset
    from cgsim.models.merge_command import merge_command as merge_command
    from cgsim.models.merging import merge as merge
    from cgsim.models.networks.build import build_network as build_network
    from cgsim.models.recipe import Recipe as Recipe
    from cgsim.models.recipe import available_recipes as available_recipes
    from cgsim.models.recipe import load_recipe as load_recipe
    from cgsim.models.recording import record as record
    from cgsim.models.registry import register as register
    from cgsim.models.runs import load_model as load_model
    from cgsim.models.training import TrainResult as TrainResult
    from cgsim.models.training import train as train
    from cgsim.models.weights import load_weights_file as load_weights_file

_MODULES = {
    "commands": ("evaluate_command", "quantize_command", "record_command", "train_command"),
    "cosimulation": ("LayerCase", "load_cosimulation"),
    "data": ("Dataset", "ImageSet"),
    "difficulty": ("Difficulty", "measure_difficulty", "run_difficulty"),
    "evaluation": ("Evaluation", "Normalize", "evaluate"),
    "graph": ("derive_network",),
    "layers.batch_shaping": ("BatchShapedConv2d", "batch_shaping_loss"),
    "layers.cgnet": ("CGConv2d",),
    "layers.thresholds": ("calibrate_thresholds", "threshold_loss"),
    "loading": ("load_dataset",),
    "merge_command": ("merge_command",),
    "merging": ("merge",),
    "networks.build": ("build_network",),
    "recipe": ("Recipe", "available_recipes", "load_recipe"),
    "recording": ("record",),
    "registry": ("register",),
    "runs": ("load_model",),
    "training": ("TrainResult", "train"),
    "weights": ("load_weights_file",),
}
__all__ = [*sorted(name for names in _MODULES.values() for name in names)]  # noqa: PLE0604
__getattr__, __dir__ = lazy(__name__, _MODULES)
