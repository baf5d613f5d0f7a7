"""The shipped recipes: each builds every network that its method has a form for; the papers' numbers."""

from __future__ import annotations

import pytest
import torch

from cgsim import CgsimError
from cgsim.models import build_network, load_recipe
from cgsim.models.layers.mixture_of_depths import MixtureOfDepthsBlock
from cgsim.models.methods import make_method
from cgsim.models.networks.build import NETWORKS, full_architecture, own_architecture
from cgsim.models.recipe import available_recipes

FAMILIES = {"vgg16": "vgg", "vgg16-bn": "vgg", "vgg16-cifar": "vgg", "mobilenetv2": "mobilenet"}
FAMILIES |= dict.fromkeys(("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"), "resnet")
FAMILIES |= {"efficientnet-lite0": "efficientnet_lite"}

PAPER = {
    # Hua et al., the public code's train_cg scripts
    "cgnet-paper": {
        "epochs": 250,
        "batch_size": 128,
        "rate": 0.1,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "steps": [150, 200],
        "order": "after_add",
        "partitions": 4,
        "target": 1.0,
        "threshold_weight": 1e-4,
        "alpha": 2.0,
        "sparse_backprop": True,
    },
    "cgnet-paper-postactivation": {
        "epochs": 250,
        "batch_size": 128,
        "rate": 0.08,
        "momentum": 0.9,
        "weight_decay": 3e-4,
        "steps": [150, 200],
        "order": "before_add",
        "partitions": 2,
        "target": 0.6,
        "threshold_weight": 1e-4,
        "alpha": 2.0,
        "sparse_backprop": True,
    },
    # You et al., the public code's run/resnet-56 and run/vgg16
    **{
        name: {
            "epochs": 40,
            "rate": 0.01,
            "momentum": 0.9,
            "weight_decay": 5e-4,
            "tick_images": None,
            "prune_share": share,
            "least_share": 0.1,
            "ticks_per_tock": 10,
            "tock_epochs": 10,
            "sparsity_weight": 1e-3,
            "low_rate": 1e-3,
            "final_epochs": 10,
            "decay_all": True,
        }
        for name, share in (("gate-decorator-paper", 0.002), ("gate-decorator-paper-vgg16", 0.005))
    },
    # Bejnordi et al., the public code
    "batch-shaping-paper": {
        "epochs": 500,
        "batch_size": 256,
        "rate": 0.1,
        "nesterov": True,
        "weight_decay": 5e-4,
        "steps": [300, 375, 450],
        "shaping_weight": 0.75,
        "shaping_until": 0.2,
        "prior_a": 0.6,
        "prior_b": 0.4,
        "l0_from": 0.2,
        "l0_until": 0.6,
        "l0_target": 0.0,
        "temperature": 2 / 3,
        "start_images": 0,
        "gate_rate": 1.0,
    },
    # Cakaj et al.; trained as He et al., section 4.2
    "mixture-of-depths-paper": {
        "epochs": 164,
        "batch_size": 128,
        "rate": 0.1,
        "weight_decay": 1e-4,
        "steps": [82, 123],
        "divisor": None,
        "ratio": 16,
        "period": 2,
    },
    "none-paper": {
        "epochs": 164,
        "batch_size": 128,
        "rate": 0.1,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "steps": [82, 123],
        "order": "after_add",
    },
}


def test_every_paper_recipe_is_held():
    assert set(PAPER) == {name for name in available_recipes() if "-paper" in name}


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_numbers(name):
    recipe = load_recipe(name)
    found = recipe.to_json() | recipe.architecture | recipe.gating
    found["steps"] = [round(share * recipe.epochs) for share in recipe.milestones]
    assert {key: found[key] for key in PAPER[name]} == PAPER[name]
    if "steps" in PAPER[name]:
        assert (recipe.schedule, recipe.warmup) == ("step", 0)


def pairs():
    """Every general recipe with every network that its method has a form for; two take long."""
    for name in available_recipes():
        method = make_method(load_recipe(name).method)
        for network in NETWORKS:
            fits = FAMILIES.get(network, "cifar_resnet") in method.families
            if network == "vgg16":  # it has no norms
                fits = method.name == "none"
            if fits and "efficientnet" not in name and network not in ("resnet101", "resnet152"):
                yield name, network


@pytest.mark.parametrize(("name", "network"), list(pairs()))
def test_each_recipe_builds_every_network_of_its_method(name, network):
    recipe = load_recipe(name)
    method = make_method(recipe.method, recipe.gating)
    family = FAMILIES.get(network, "cifar_resnet")
    with torch.device("meta"):
        model = build_network(network, method, in_channels=3, classes=10, architecture=recipe.architecture)
    resnet = family in ("cifar_resnet", "resnet")
    if resnet and "order" in recipe.architecture:
        assert model.architecture["order"] == recipe.architecture["order"]
    else:
        assert resnet or "order" not in model.architecture


@pytest.mark.parametrize("name", [name for name in available_recipes() if "efficientnet" in name])
def test_the_recipes_of_one_network(name):
    recipe = load_recipe(name)
    with torch.device("meta"):
        build_network(
            "efficientnet-lite0",
            make_method(recipe.method, recipe.gating),
            in_channels=3,
            classes=10,
            architecture=recipe.architecture,
        )


def test_only_order_may_be_of_no_use_and_only_with_a_value_that_it_can_have():
    assert own_architecture("vgg16-bn", {"order": "after_add", "width": 32}) == {"width": 32}
    assert full_architecture("mobilenetv2", {"order": "before_add"}) == {
        "stem_stride": 2,
        "second_stride": 2,
        "dropout": 0.2,
    }
    with pytest.raises(CgsimError, match="order 'after' is not known"):
        own_architecture("mobilenetv2", {"order": "after"})
    with pytest.raises(CgsimError, match="network 'mobilenetv2': architecture: unknown key 'stem'"):
        own_architecture("mobilenetv2", {"stem": "cifar"})


@pytest.mark.parametrize(
    ("network", "divisor", "architecture"),
    [
        ("resnet20", 16, {}),
        ("resnet20", 8, {"width": 8}),
        ("resnet18", 64, {}),
        ("resnet50", 64, {}),
        ("mobilenetv2", 16, {}),
    ],
)
def test_the_papers_divisor_is_the_width_of_the_first_block(network, divisor, architecture):
    with torch.device("meta"):
        model = build_network(
            network, "mixture-of-depths", in_channels=3, classes=10, architecture=architecture
        )
    blocks = [module for module in model.modules() if isinstance(module, MixtureOfDepthsBlock)]
    assert blocks
    assert all(block.k == block.channels // divisor for block in blocks)


@pytest.mark.parametrize(
    ("name", "spared"), [("gate-decorator-short", True), ("gate-decorator-paper", False)]
)
def test_weight_decay_of_phi_is_the_public_codes_in_the_paper_recipe(name, spared):
    method = make_method("gate-decorator", load_recipe(name).gating)
    assert method.no_decay("bn1.weight", torch.nn.Parameter(torch.ones(4))) is spared
    assert not method.no_decay("conv1.weight", torch.nn.Parameter(torch.ones(4, 4, 3, 3)))
