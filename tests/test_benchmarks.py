"""The bench compares equal things, and runs."""

import numpy as np
import pytest
import torch

from benchmarks import dtype_gate, scale
from benchmarks.bucket import extracting, fetching
from benchmarks.cuda import Precision, epoch, extraction
from benchmarks.evaluation import retrieval
from benchmarks.growth import PATHS
from benchmarks.harness import Way, interleave
from benchmarks.images import largest_difference, overlap, synthetic_plane, tiff_bytes
from benchmarks.lora import lora_step
from benchmarks.peaks import (
    embedding,
    evaluation,
    leakage,
    plate_extraction,
    profiles_of_plates,
)
from benchmarks.text import literal_features, small_modernbert, synthetic_prompts
from benchmarks.training import loading_features, training_epoch
from morphoclip.backbones.config import ImageBackboneConfig, UntrainedViT
from morphoclip.errors import InputError
from morphoclip.features.text_features import encode_prompts
from morphoclip.perturbations.prompts import prompt_digest
from morphoclip.schemas.profiles import PROMPT_EMBEDDINGS, WELL_PROFILES


@pytest.mark.parametrize("compression", [None, "lzw"])
def test_our_input_is_the_literal_one(compression: str | None) -> None:
    content = tiff_bytes(synthetic_plane(side=270), compression=compression)
    assert largest_difference(content) < 2e-6


def test_our_input_is_the_literal_one_on_real_planes(gallery) -> None:
    for path in sorted(gallery.rglob("*.tiff")):
        assert largest_difference(path.read_bytes()) < 2e-6


def test_ways_are_run_in_turn_and_compared_with_the_first() -> None:
    calls: list[str] = []
    timings = interleave(
        [Way("a", lambda: calls.append("a")), Way("b", lambda: calls.append("b"))], rounds=3
    )
    assert calls == ["a", "b"] * 4
    assert [timing.name for timing in timings] == ["a", "b"]
    assert timings[0].times_faster == timings[0].lowest == timings[0].highest == 1


def test_overlap_tells_three_times() -> None:
    times = overlap(1.0, sites=4)
    assert np.isfinite(times).all()
    assert min(times) > 0


def test_the_dtype_gate_lets_equal_features_pass_and_stops_noise(capsys) -> None:
    exact = torch.randn(40, 16, generator=torch.Generator().manual_seed(0)) + 5
    assert dtype_gate.report(exact, exact.bfloat16().float(), "bfloat16") == 0
    noisy = exact + 0.5 * torch.randn(40, 16, generator=torch.Generator().manual_seed(1))
    assert dtype_gate.report(exact, noisy, "bfloat16") == 1
    printed = capsys.readouterr().out
    assert printed.count("bfloat16 passes") == printed.count("bfloat16 does not pass") == 1


def test_the_dtype_gate_reads_a_folder_and_a_model(tmp_path) -> None:
    vit = UntrainedViT(hidden_size=16, layers=1, heads=2)
    for n in range(3):
        (tmp_path / f"{n}.tiff").write_bytes(
            tiff_bytes(synthetic_plane(n, side=270), compression=None)
        )
    images = dtype_gate.read_images(tmp_path, number=64, size=32)
    assert images.shape == (3, 1, 32, 32)
    exact = dtype_gate.features(images, ImageBackboneConfig(kind="untrained", untrained=vit))
    rounded = dtype_gate.features(
        images, ImageBackboneConfig(kind="untrained", untrained=vit, dtype="bfloat16")
    )
    assert exact.shape == rounded.shape == (3, 16)
    assert not torch.equal(exact, rounded)
    (tmp_path / "1.tiff").unlink()
    (tmp_path / "2.tiff").unlink()
    with pytest.raises(InputError, match="holds 1 TIFFs"):
        dtype_gate.read_images(tmp_path, number=64, size=32)


def test_distinct_prompts_by_length_have_the_features_of_every_row(tmp_path) -> None:
    prompts = synthetic_prompts()[::20]
    backbone = small_modernbert(tmp_path, prompts)
    ours = encode_prompts(prompts, backbone).features
    literal = literal_features(backbone, prompts)
    torch.testing.assert_close(ours.lookup([prompt_digest(p) for p in prompts]), literal)


def test_four_steps_of_the_literal_trainer_have_our_losses() -> None:
    """Wells of 9 and of 16 sites; `training_epoch` raises where the losses differ."""
    timings = training_epoch(16, share_with_16=0.3, rounds=1, steps=4)
    assert [timing.name for timing in timings] == ["literal spec", "ours"]


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_what_is_measured_on_a_gpu_runs_on_any_device(precision: Precision) -> None:
    vit = UntrainedViT(hidden_size=16, layers=1, heads=2)
    before = torch.get_float32_matmul_precision()
    own = extraction("cpu", precision, sites=3, vit=vit)
    assert own.images_per_second > 0
    assert own.share > 0
    assert own.gigabytes is None
    assert torch.get_float32_matmul_precision() == before


def test_an_epoch_from_a_devices_memory_runs_on_any_device() -> None:
    assert epoch("cpu", n_wells=8, batch_size=4).seconds > 0


def test_a_step_of_lora_is_the_same_however_it_is_computed() -> None:
    """`lora_step` raises where the losses differ."""
    assert len(lora_step(6, micro_batch=4, rounds=1)) == 3


def test_packed_features_are_those_of_the_sites() -> None:
    timings, megabytes = loading_features(8, rounds=1)
    assert len(timings) == 3
    assert megabytes["per-site files, slices"] > 20 * megabytes["one packed file"]


def test_ranks_are_those_of_sorting() -> None:
    """`retrieval` raises where a rank differs."""
    timings = retrieval(60, 12, rounds=1)
    assert len(timings) == 5


def test_every_path_of_the_growth_table_does_the_work_that_its_name_says() -> None:
    done = {path: build(0.25)() for path, build in PATHS.items()}
    assert done["decoding, 24 sites"] == 6
    assert done["loading, 24 wells"].shape == (6 * 9, 5, 1024)
    assert 0 < done["training epoch, 16 wells"]["train_loss"] < 10
    assert len(done["retrieval, 1,200 wells"]) == 300
    one, two = (done[f"LoRA step, {way}, 32 wells"] for way in ("one pass", "two passes"))
    torch.testing.assert_close(one, two)


FEW_PLATES = {"compound": (4, 60), "orf": (4, 40)}


def test_the_profiles_of_the_memory_table_are_what_the_evaluation_reads() -> None:
    made = profiles_of_plates(FEW_PLATES)
    WELL_PROFILES.validate(made.wells)
    PROMPT_EMBEDDINGS.validate(made.texts)
    assert len(made.wells) == 8 * 384
    assert len(made.texts) == 100


def test_every_job_of_the_memory_table_does_the_work_that_its_name_says() -> None:
    assert plate_extraction(n_wells=1)().tokens.shape == (16, 5, 192)
    assert embedding(FEW_PLATES, n_wells=24)().image.shape == (8 * 24, 512)
    retrieval_metrics, _ = evaluation("score_retrieval", FEW_PLATES)()
    assert retrieval_metrics["value"].between(0, 1).any()
    assert set(leakage(n_plates=2)()["verdict"]) >= {"by design"}


@pytest.mark.slow
def test_all_ways_to_a_bucket_read_all_bytes() -> None:
    """`fetching` raises where bytes are missing, `extracting` where sites are."""
    assert len(fetching(20, 1000, rounds=1)) == 5
    assert len(extracting(2, rounds=1)) == 2


@pytest.mark.slow
def test_jobs_of_jumps_size_run_at_a_small_one() -> None:
    places = {one.job: one for one in scale.epochs(2, dim=4)}
    assert set(places) == {
        f"training, {w}, {p}" for w in ("wells", "epoch") for p in ("ram", "mmap")
    }
    assert all(one.seconds > 0 and one.megabytes > 50 for one in places.values())
    for job in scale.JOBS:
        size = 2 * scale.WELLS if job.endswith("wells") else 8
        scale.JOBS[job](size)()
    assert scale.exponent([1, 2, 4], [3.0, 6.0, 12.0]) == pytest.approx(1)
