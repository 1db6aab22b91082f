"""Grids and their cells."""

import pytest

from morphoclip.ablation.cells import BASE, AblationConfig, Settings, cells_of, training_key
from morphoclip.errors import InputError
from morphoclip.features.config import TextFeaturesConfig
from morphoclip.models.config import ModelConfig
from morphoclip.splits.config import SplitConfig
from morphoclip.training.config import TrainingConfig

SETTINGS = Settings(
    ModelConfig(),
    TrainingConfig(seeds=("1", "2")),
    SplitConfig(folds=3),
    TextFeaturesConfig(backbone={"kind": "ngrams"}),
    "default",
)


def names(grid: dict) -> list[str]:
    return [cell.name for cell in cells_of(grid, SETTINGS)]


def test_each_value_that_the_base_does_not_have_is_a_cell() -> None:
    grid = {"model.ccf_layers": [1, 2, 4], "image_features.name": ["default", "lora"]}
    assert names(grid) == [
        BASE, "model.ccf_layers 2", "model.ccf_layers 4", "image_features.name lora"
    ]  # fmt: skip


def test_a_cell_changes_what_it_names_and_nothing_else() -> None:
    _, cell = cells_of({"training.loss.target_weight": [0.3]}, SETTINGS)
    assert cell.settings.training.loss.target_weight == 0.3
    back = cell.settings.changed("training.loss.target_weight", 0.0)
    assert back == SETTINGS


def test_a_mapping_changes_several_parameters_together() -> None:
    grid = {
        "training.loss": [{"name": "siglip", "replicate_weight": 0.2}],
        "model": [{"channel_aggregation": "wellformer", "ccf_layers": 2}],
    }
    _, loss, model = cells_of(grid, SETTINGS)
    assert (loss.settings.training.loss.name, loss.value) == (
        "siglip", "name siglip, replicate_weight 0.2"
    )  # fmt: skip
    assert loss.settings.training.loss.gene_source == "target"
    assert model.settings.model.ccf_layers == 2


def test_a_strategy_without_folds_is_trained_on_its_one_split() -> None:
    base, cell = cells_of({"splitting.strategy": ["plate_held_out"]}, SETTINGS)
    assert (base.n_trainings, cell.n_trainings) == (6, 2)
    assert base.seeds == (1, 2)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"model.layers": [1]}, r"names model\.layers, which does not exist; .*ccf_layers"),
        ({"model.ccf_layers.deep": [1]}, r"names model\.ccf_layers\.deep, which does not exist"),
        ({"model.ccf_layers": [0]}, r"model\.ccf_layers cannot be 0: .*greater than"),
        ({"training.loss.name": ["hinge"]}, r"cannot be hinge"),
        ({"splitting.strategy": ["nowhere"]}, "there is no strategy nowhere"),
        ({"evaluation.seed": [1]}, r"an ablation cannot change evaluation\.seed: it changes"),
        ({"model": [3]}, "an ablation cannot change model"),
    ],
)
def test_what_does_not_exist_is_told_with_what_does(grid: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        cells_of(grid, SETTINGS)


def test_a_grid_of_no_such_name_is_told_with_those_that_are() -> None:
    config = AblationConfig(grid="specs", grids={"spec": {}, "loss": {}})
    with pytest.raises(InputError, match=r"no ablation\.grid specs; there are loss, spec"):
        _ = config.chosen
    assert AblationConfig(grids={}).chosen is None


def test_a_training_is_named_by_all_that_decides_its_result_and_by_nothing_else() -> None:
    base, deeper = cells_of({"model.ccf_layers": [2]}, SETTINGS)
    data = {"wells": "abc", "image": {"model": "x"}}
    key = training_key(base, 0, 1, data)
    others = [
        training_key(deeper, 0, 1, data),
        training_key(base, 1, 1, data),
        training_key(base, 0, 2, data),
        training_key(base, 0, 1, data | {"wells": "abd"}),
    ]
    assert len({key, *others}) == 5
    elsewhere = SETTINGS.changed("training.cpu_threads", 2).changed("training.device", "cpu")
    (same,) = cells_of({}, elsewhere)
    assert training_key(same, 0, 1, data) == key
