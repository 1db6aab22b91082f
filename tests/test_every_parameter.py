"""Every field of the parameters of images, model, loss and training changes something."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from pydantic import BaseModel
from small_training import MODEL, QUICK, SilentLog, manifest_of, wells, wells_with_facts

from morphoclip.imaging.config import PreprocessConfig
from morphoclip.imaging.grey_levels import GreyRange
from morphoclip.imaging.preprocess import ImageFile, SiteImages, prepare_site, prepare_sites
from morphoclip.imaging.tiff import opened_tiffs
from morphoclip.losses import LossConfig
from morphoclip.models.config import ModelConfig
from morphoclip.models.embedding import embed_with_parts
from morphoclip.plate_correction import fit_correction
from morphoclip.training.checkpoints import CheckpointStore
from morphoclip.training.config import EarlyStoppingConfig, TrainingConfig
from morphoclip.training.data import belongs_on_device
from morphoclip.training.members import train_members
from morphoclip.training.trainer import train

TIFF_SIDE = 48


def weights_after_an_epoch(tmp_path, model: ModelConfig, training: TrainingConfig) -> Any:
    data = wells_with_facts()
    return train_members(
        data, manifest_of(data), model, training, CheckpointStore(tmp_path), SilentLog()
    )


def flat(state: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([value.flatten().float() for value in state.values()])


def model_result(tmp_path, config: ModelConfig) -> torch.Tensor:
    tokens = torch.randn(9, 2, 4, generator=torch.Generator().manual_seed(0))
    reference = torch.arange(9) < 5
    place = torch.stack([torch.arange(9) // 3, torch.arange(9) % 3], dim=1)
    fitted = fit_correction(
        tokens[reference], place[reference], config.token_normalisation, plate="P"
    )
    normed = fitted.apply(tokens, place)
    one_epoch = QUICK.model_copy(update={"epochs": 1})
    trained = weights_after_an_epoch(tmp_path, config, one_epoch).model
    embedded = embed_with_parts(trained, wells_with_facts(), batch_size=8, device="cpu")
    return torch.cat(
        [
            normed.flatten(),
            flat(trained.members[0].state),
            *(torch.from_numpy(side).flatten() for side in embedded[:2]),
        ]
    )


def training_result(tmp_path, config: TrainingConfig) -> torch.Tensor:
    result = weights_after_an_epoch(tmp_path, MODEL, config)
    epochs = [float(len(result.history)), *(float(one.epoch) for one in result.model.members)]
    return torch.cat([torch.tensor(epochs), *(flat(one.state) for one in result.model.members)])


def loss_result(tmp_path, config: LossConfig) -> torch.Tensor:
    data = wells()
    data.table["Metadata_target_list"] = [
        "G0|G1" if n % 2 else None for n in range(len(data.table))
    ]
    training = QUICK.model_copy(update={"epochs": 1, "loss": config})
    store = CheckpointStore(tmp_path)
    model = train(data, manifest_of(data), MODEL, training, store, lambda *_: None).model
    return flat(model.members[0].state)


def preprocess_result(_: Any, config: PreprocessConfig) -> torch.Tensor:
    plane = np.random.default_rng(0).integers(100, 4000, (TIFF_SIDE, TIFF_SIDE)).astype(np.uint16)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, plane)
    slope = np.linspace(0.5, 1.5, TIFF_SIDE)[:, None] * np.ones(TIFF_SIDE)
    evening = {"DNA": slope} if config.illumination == "npy" else {}
    opened = opened_tiffs(lambda _: buffer.getvalue())
    images = SiteImages("P", "A01", 1, {"DNA": ImageFile("x")}, opened, evening, config.side)
    pixels = prepare_site(images, {"DNA": GreyRange(200, 3000)}, config).pixels
    assert pixels is not None
    return torch.from_numpy(pixels).flatten()


LOSS = LossConfig(target_weight=0.5)
CHANGES: dict[type[BaseModel], tuple[BaseModel, Callable[[Any, Any], torch.Tensor], dict]] = {
    ModelConfig: (
        MODEL.model_copy(update={"closed_form": "kernel_cca"}),
        model_result,
        {
            "token_normalisation": ["negcon_zscore", "negcon_sphering"],
            "channel_aggregation": ["mean_pool", "attention", "wellformer"],
            "ccf_layers": [2, 4],
            "ccf_heads": [2],
            "ccf_ff_dim": [16],
            "ccf_aggregate": ["mean"],
            "ccf_input_norm": ["none"],
            "site_pooling": ["attention", "max"],
            "output_dim": [6],
            "proj_hidden_dim": [12],
            "proj_dropout": [0.5],
            "text_scaling": ["train"],
            "fact_weight": [1.0],
            "fact_dropout": [0.0, 1.0],
            "closed_form": ["none"],
            "closed_form_weight": [3.0],
            "closed_form_strength": [9.0],
        },
    ),
    LossConfig: (
        LOSS,
        loss_result,
        {
            "name": ["infonce", "cellclip_cwcl", "siglip"],
            "target_weight": [0.1],
            "gene_source": ["target_list"],
            "replicate_weight": [0.3],
        },
    ),
    TrainingConfig: (
        QUICK.model_copy(update={"epochs": 2, "learning_rate": 1e-3, "plates_per_block": 1}),
        training_result,
        {
            "loss": [{"name": "infonce"}],
            "batch_size": [5],
            "learning_rate": [1e-2],
            "weight_decay": [0.0],
            "warmup_steps": [0],
            "epochs": [3],
            "grad_clip_norm": [0.01],
            "init_temperature": [0.5],
            "max_logit_scale": [1.0],
            "precision": ["bf16"],
            "cwa": ["batch_mean", "condition_offset"],
            "stopping": ["inner_folds", "none"],
            "last_epoch": [1],
            "members": [2],
            "sampler": ["perturbation_aware", "plate_blocks"],
            "sites_per_well": [1],
            "seed": [1],
        },
    ),
    PreprocessConfig: (
        PreprocessConfig(size=16, resample=True, pixel_size=1.0, field=TIFF_SIDE - 4),
        preprocess_result,
        {
            "size": [24],
            "normalise": ["image_percentile", "minmax_site", "self_standardise", "uint16"],
            "resize": ["bilinear"],
            "illumination": ["npy"],
            "pixel_size": [1.2],
            "resample": [False],
            "field": [TIFF_SIDE - 6],
        },
    ),
}
ELSEWHERE = {
    TrainingConfig: {
        "inner_folds": "test_members.test_as_many_inner_folds_are_trained_as_are_asked_for",
        "early_stopping": "test_each_way_to_stop_early_stops_elsewhere",
        "plates_per_block": "test_sampler.test_blocks_of_plates_come_one_after_the_other",
        "cwa_reference": "test_trainer.test_plates_can_be_measured_by_their_negative_controls",
        "placement": "test_features_lie_where_they_are_told_to",
        "device": "test_cli, and test_distributed.test_more_processes_than_gpus_are_refused",
        "devices": "test_distributed",
        "nodes": "test_hosts",
        "rendezvous": "test_hosts.test_hosts_meet_on_a_named_interface",
        "cpu_threads": "test_threads_are_set",
        "micro_batch": "test_fine_tuning.test_two_passes_give_the_gradients_of_one",
        "resume": "test_trainer.test_an_interrupted_run_goes_on_to_the_same_bits",
        "seeds": "test_cross_validation",
    },
    PreprocessConfig: {
        "thumbnails": "test_full_run.test_every_site_has_a_small_picture",
        "count_nuclei": "test_nuclei.test_the_nuclear_channel_is_found_by_name_or_named",
        "workers": "test_as_many_sites_are_read_ahead_as_there_are_workers",
    },
}
"""Fields whose effect is not a number of a result, and the tests that show it."""


@pytest.mark.parametrize("config", list(CHANGES), ids=lambda c: c.__name__)
def test_no_field_is_forgotten(config: type[BaseModel]) -> None:
    listed = set(CHANGES[config][2]) | set(ELSEWHERE.get(config, {}))
    assert listed == set(config.model_fields)


@pytest.mark.parametrize(
    ("config", "field", "value"),
    [
        (config, field, value)
        for config, (_, _, changes) in CHANGES.items()
        for field, values in changes.items()
        for value in values
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_every_field_changes_the_result(tmp_path, config, field: str, value: Any) -> None:
    base, result_of, _ = CHANGES[config]
    changed = config.model_validate(base.model_dump() | {field: value})
    before, after = result_of(tmp_path / "a", base), result_of(tmp_path / "b", changed)
    assert before.shape != after.shape or not torch.equal(before, after)


def test_each_way_to_stop_early_stops_elsewhere(tmp_path) -> None:
    assert set(EarlyStoppingConfig.model_fields) == {"metric", "patience"}
    lengths = {}
    for metric in ("validation_loss", "validation_mrr_within_modality"):
        for patience in (1, 4):
            early = EarlyStoppingConfig(metric=metric, patience=patience)
            config = QUICK.model_copy(
                update={"epochs": 12, "learning_rate": 0.05, "early_stopping": early}
            )
            folder = tmp_path / f"{metric}{patience}"
            result = weights_after_an_epoch(folder, MODEL, config)
            lengths[metric, patience] = (len(result.history), result.model.members[0].epoch)
    assert lengths["validation_loss", 1] != lengths["validation_loss", 4]
    assert len({lengths[m, 1] for m, _ in lengths}) == 2


def test_features_lie_where_they_are_told_to() -> None:
    data = wells()
    told = {
        place: QUICK.model_copy(update={"placement": place})
        for place in ("device", "ram", "auto", "mmap")
    }
    assert belongs_on_device(data, told["device"], "cuda")
    assert not belongs_on_device(data, told["ram"], "cuda")
    assert not belongs_on_device(data, told["auto"], "cpu")
    assert not belongs_on_device(data, told["mmap"], "cuda")
    before = {place: config.host_placement for place, config in told.items()}
    assert before == {"device": "ram", "ram": "ram", "auto": "auto", "mmap": "mmap"}


def test_threads_are_set(tmp_path) -> None:
    before = torch.get_num_threads()
    try:
        config = QUICK.model_copy(update={"epochs": 1, "cpu_threads": 2})
        weights_after_an_epoch(tmp_path, MODEL, config)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_as_many_sites_are_read_ahead_as_there_are_workers() -> None:
    for workers in (1, 3):
        asked: list[str] = []

        def read(name: str, asked: list[str] = asked) -> bytes:
            asked.append(name)
            return b"no image"

        sites = [
            SiteImages("P", "A01", n, {"DNA": ImageFile(f"{n}")}, opened_tiffs(read))
            for n in range(30)
        ]
        config = PreprocessConfig(size=16, workers=workers)
        next(prepare_sites(sites, {"P": {"DNA": GreyRange(0, 1)}}, config))
        assert len(asked) == 2 * workers
