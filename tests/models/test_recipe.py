from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgsim import CgsimError
from cgsim.models import Recipe, load_recipe
from cgsim.models.methods import METHODS, make_method
from cgsim.models.recipe import available_recipes, recipe_name, recipe_of


@pytest.mark.parametrize("name", available_recipes())
def test_shipped_recipes_load_for_their_method(name):
    recipe = load_recipe(name)
    assert name.startswith(f"{recipe.method}-")
    assert recipe.gating == make_method(recipe.method, recipe.gating).settings()
    assert load_recipe(recipe) == recipe
    assert recipe_of({"method": recipe.method, "recipe": recipe.to_json()}) == recipe


@pytest.mark.parametrize("method", ["none", "cgnet"])
@pytest.mark.parametrize("size", ["short", "paper"])
def test_a_size_means_the_methods_own(method, size):
    assert load_recipe(size, method=method) == load_recipe(f"{method}-{size}")
    assert recipe_name(size, method) == f"{method}-{size}"
    assert load_recipe("short").method == "cgnet"


def test_the_short_recipe_of_cgnet_means_what_it_meant():
    before = {"partitions": 4, "target": 1.0, "threshold_weight": 0.001, "alpha": 2.0}
    before |= {"sparse_backprop": True, "norm_variant": "after", "shuffle": False}
    recipe = load_recipe("short")
    assert {key: recipe.gating[key] for key in before} == before
    assert recipe.architecture == {"order": "before_add"}
    assert (recipe.epochs, recipe.crop_padding, recipe.precision) == (8, 2, "bfloat16")
    assert (recipe.label_smoothing, recipe.ema_decay) == (0, 0)
    ungated = load_recipe("short", method="none")
    assert {**recipe.to_json(), "method": "none", "gating": {}} == ungated.to_json()


def test_overrides():
    changed = {"epochs": 3, "gating.target": 0.6, "architecture.stem_stride": 2, "rate": None}
    recipe = load_recipe("short", changed)
    assert (recipe.epochs, recipe.gating["target"], recipe.rate) == (3, 0.6, 0.1)
    assert recipe.gating["partitions"] == 4
    assert recipe.architecture == {"order": "before_add", "stem_stride": 2}


def test_none_leaves_a_key_of_a_section_to_its_default():
    recipe = load_recipe("short", {"architecture.order": None, "gating.threshold_weight": None})
    assert recipe.architecture == {}
    assert recipe.gating == make_method("cgnet").settings()


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("epoch", "recipe: cannot set 'epoch' (did you mean 'epochs'?)"),
        ("partitions", "cannot set 'partitions' (write it as 'partitions' in the section 'gating')"),
        ("gating.targt", "method 'cgnet': gating: unknown key 'targt' (did you mean 'target'?)"),
        ("epochs.x", "recipe: cannot set 'epochs.x'"),
        ("method", "recipe: cannot set 'method' (valid: epochs, "),
    ],
)
def test_overrides_of_nothing(key, message):
    with pytest.raises(CgsimError) as error:
        load_recipe("short", {key: 1})
    assert message in str(error.value)


def test_a_recipe_of_another_method_is_refused():
    with pytest.raises(CgsimError, match="recipe 'cgnet-short' is for method 'cgnet', not 'none'"):
        load_recipe("cgnet-short", method="none")
    with pytest.raises(CgsimError, match="recipe 'custom' is for method 'none', not 'cgnet'"):
        load_recipe(Recipe(method="none"), method="cgnet")
    with pytest.raises(CgsimError, match="method 'cgnt' is not known"):
        load_recipe(Recipe(), method="cgnt")
    with pytest.raises(CgsimError, match="recipe 'cgnt-short' is not known"):
        load_recipe("short", method="cgnt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rat: 0.1", "unknown key 'rat' (did you mean 'rate'?)"),
        ("norm: after", "unknown key 'norm' (write it as 'norm_variant' in the section 'gating')"),
        ("order: after_add", "unknown key 'order' (write it as 'order' in the section 'architecture')"),
        ("weight_decay: '1e-4'", "write 1.0e-4"),
        ("epochs: -1", "epochs must be"),
        ("epochs: 1.5", "epochs must be int"),
        ("precision: float8", "precision 'float8' is not known"),
        ("optimizer: adam", "optimizer 'adam' is not known"),
        ("warmup: 2", "warmup must be 0 to 1, got 2"),
        ("ema_decay: 1", "ema_decay must be below 1"),
        ("label_smoothing: -0.1", "label_smoothing must be 0 to 1"),
        ("gating: 3", "gating: expected keys and values, got 3"),
        ("gating: {threshold_weight: -1}", "gating: threshold_weight must be 0 or more, got -1"),
        ("gating: {norm: after}", "gating: unknown key 'norm'"),
        ("method: none\ngating: {target: 1}", "method 'none': gating: unknown key 'target'"),
        ("[1, 2]", "expected keys and values"),
        ("a: [", "r.yaml: line 1, column 5: while parsing a flow node"),
        ("epochs: 1\nepochs: 2", "r.yaml: line 2, column 1: key 'epochs' is there twice"),
    ],
)
def test_files_are_checked(tmp_path, text, message):
    bad = tmp_path / "r.yaml"
    bad.write_text(text)
    with pytest.raises(CgsimError) as error:
        load_recipe(bad)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("values", [{"epochs": math.inf}, {"milestones": ["x"]}, {"milestones": [math.nan]}])
def test_values_of_no_number_are_refused(values):
    with pytest.raises(CgsimError, match=rf"recipe: {next(iter(values))} must be "):
        Recipe(**values)


def test_names_are_told():
    with pytest.raises(CgsimError, match="did you mean 'cgnet-short'"):
        load_recipe("cgnet-shrt")


def test_rates_of_the_schedules():
    cosine = Recipe(rate=1.0, warmup=0.1)
    assert [round(cosine.rate_at(x), 3) for x in (0, 0.05, 0.1, 0.55, 1)] == [0, 0.5, 1, 0.5, 0]
    steps = load_recipe("paper")
    assert [steps.rate_at(x) for x in (0, 0.59, Fraction(3, 5), Fraction(4, 5))] == pytest.approx(
        [0.1, 0.1, 0.01, 0.001]
    )


@given(st.floats(0, 1), st.floats(0, 0.9), st.sampled_from(["cosine", "step"]))
def test_no_rate_is_above_the_peak_or_below_zero(progress, warmup, schedule):
    recipe = Recipe(rate=0.3, warmup=warmup, schedule=schedule, milestones=(0.5,))
    assert 0 <= recipe.rate_at(progress) <= 0.3 * (1 + 1e-12)


def test_every_method_has_a_short_and_a_paper_recipe():
    wanted = {f"{method}-{size}" for method in METHODS for size in ("short", "paper")}
    assert wanted <= set(available_recipes())
