"""An adapter on the vision backbone: exact gradients in little memory, and nothing else changes."""

import copy
from dataclasses import fields, replace
from functools import partial

import pytest
import torch
from small_training import (
    FEATURES,
    LORA,
    MODEL,
    QUICK,
    Interrupted,
    imaged_wells,
    lora_gradients,
    manifest_of,
    run_lora,
)

from morphoclip.backbones.adapter import (
    Adapter,
    AdapterSettings,
    adapter_of,
    add_adapter,
    merge,
    named_adapter,
    put_on,
)
from morphoclip.backbones.image import ImageBackbone, load_image_backbone, load_model
from morphoclip.backbones.image.base import IMAGENET_MEAN, IMAGENET_SD
from morphoclip.columns import ROLE
from morphoclip.errors import InputError
from morphoclip.models.trained import TrainedModel
from morphoclip.plate_correction import reference_wells
from morphoclip.splits.manifest import manifest_sha256
from morphoclip.training.checkpoints import CheckpointStore
from morphoclip.training.controls import carry_to_controls, renew_normalisation
from morphoclip.training.data import training_data
from morphoclip.training.distributed import ALONE
from morphoclip.training.fine_tuning import FineTuning, model_to_start_from
from morphoclip.training.processes import launch
from morphoclip.training.state import frozen_digest
from morphoclip.training.step import (
    _encode_text,
    accumulate_gradients,
    batch_loss,
    loss_of_embeddings,
)
from morphoclip.training.trainer import initial_state, train
from morphoclip.wells.assemble import Wells
from morphoclip.wells.site_images import ImagedWells

SETTINGS = AdapterSettings(rank=2, alpha=8)


def backbone() -> ImageBackbone:
    return load_image_backbone(FEATURES.backbone, 3)


def images(sites: int = 3) -> torch.Tensor:
    return torch.rand(sites, 3, 32, 32, generator=torch.Generator().manual_seed(5))


def trained_adapter() -> tuple[ImageBackbone, Adapter]:
    """A backbone whose adapter does something."""
    changed = backbone()
    torch.manual_seed(0)
    add_adapter(changed, SETTINGS)
    for name, weight in changed.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return changed, adapter_of(changed, SETTINGS)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_two_passes_give_the_gradients_of_one(dtype: torch.dtype, tolerance: float) -> None:
    one_pass = LORA.model_copy(update={"micro_batch": None})
    expected = lora_gradients(ALONE, "cpu", imaged_wells(), one_pass, dtype)
    found = lora_gradients(ALONE, "cpu", imaged_wells(), LORA, dtype)
    assert any("lora_A" in name for name in expected)
    assert set(found) == set(expected)
    for name, gradient in expected.items():
        scale = gradient.abs().max()
        assert scale > 0, name
        assert (found[name] - gradient).abs().max() <= tolerance * scale, name


@pytest.mark.slow
def test_two_processes_give_the_gradients_of_one(tmp_path) -> None:
    data = imaged_wells()
    expected = lora_gradients(ALONE, "cpu", data, LORA, torch.float64)
    two = LORA.model_copy(update={"micro_batch": 2})
    args = (two, torch.float64)
    found = launch(lora_gradients, 2, device="cpu", wells=data, folder=tmp_path, args=args)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-10, rtol=1e-10, msg=name)


def test_the_second_pass_draws_the_random_numbers_of_the_first() -> None:
    """With dropout everywhere: against all micro-batches kept in one graph."""
    lora = LORA.model_copy(update={"dropout": 0.3, "micro_batch": 2})
    data, config = imaged_wells(), lora.applied_to(QUICK)
    prepared = training_data(data, manifest_of(data), config, "cpu")
    model = MODEL.model_copy(update={"proj_dropout": 0.5})
    rows = prepared.train[:6]

    def fresh():
        state = initial_state(prepared, model, config, "cpu", FineTuning(lora, FEATURES, None))
        state.model.train()
        for name, weight in state.model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.ones_(weight)
        torch.manual_seed(9)
        return state

    literal = fresh()
    parts = [literal.model.encode_image(data.batch(part, "cpu")) for part in rows.split(2)]
    text = _encode_text(literal, prepared, rows, "cpu")
    loss, _ = loss_of_embeddings(literal, prepared, rows, torch.cat(parts), text, config)
    loss.backward()
    after_literal = torch.get_rng_state()

    state = fresh()
    accumulate_gradients(state, prepared, rows, config, "cpu", ALONE)
    assert torch.equal(torch.get_rng_state(), after_literal)
    for (name, mine), theirs in zip(
        state.model.named_parameters(), literal.model.parameters(), strict=True
    ):
        if theirs.grad is not None:
            torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-6, rtol=1e-4, msg=name)


NORMALISED = MODEL.model_copy(update={"token_normalisation": "negcon_zscore", "proj_dropout": 0.0})


def with_controls() -> ImagedWells:
    """Every fourth well of a plate is a negative control."""
    data = imaged_wells()
    role = ["negcon" if n % 4 == 0 else "trt" for n in range(len(data.table))]
    return replace(data, table=data.table.assign(**{ROLE: role}))


@pytest.mark.parametrize("micro_batch", [None, 3])
def test_gradients_go_on_to_the_controls_that_tokens_are_normalised_by(micro_batch) -> None:
    """Against one graph of wells and controls together."""
    lora = LORA.model_copy(update={"micro_batch": micro_batch})
    data, config = with_controls(), lora.applied_to(QUICK)
    prepared = training_data(data, manifest_of(data), config, "cpu")
    rows = prepared.train[:7]
    kept = torch.rand(int(data.sites.offsets[-1]), generator=torch.Generator().manual_seed(2)) < 0.8
    kept[data.sites.offsets[:-1]] = True

    def fresh():
        tuning = FineTuning(lora, FEATURES, None)
        state = initial_state(prepared, NORMALISED, config, "cpu", tuning)
        state.model.double().train()
        state.model.backbone.dtype = torch.float64
        for name, weight in state.model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(1))
        return state

    literal = fresh()
    reference = torch.from_numpy(reference_wells(data.table).to_numpy().copy())
    means, sds = [], []
    for code in range(2):
        controls = data.batch(torch.nonzero(reference & (data.plates == code))[:, 0], "cpu", kept)
        tokens = literal.model.tokens(controls)
        means.append(tokens.mean(0))
        sds.append(tokens.std(0))
    literal.model._followed = (torch.stack(means), torch.stack(sds))
    loss, _ = batch_loss(
        literal, prepared, rows, config, "cpu", ALONE, partial(data.batch, kept=kept)
    )
    loss.backward()

    state = fresh()
    renew_normalisation(state, prepared, config, "cpu", kept)
    torch.testing.assert_close(state.model.plate_sd, torch.stack(sds).detach())
    assert state.model.follow_constants()
    found = accumulate_gradients(
        state, prepared, rows, config, "cpu", ALONE, partial(data.batch, kept=kept)
    )
    before = {n: p.grad.clone() for n, p in state.model.named_parameters() if "lora_B" in n}
    carry_to_controls(state, prepared, config, "cpu", kept)
    assert float(found) == pytest.approx(float(loss.detach()), abs=1e-12)
    for (name, mine), theirs in zip(
        state.model.named_parameters(), literal.model.parameters(), strict=True
    ):
        if theirs.grad is not None:
            torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-10, rtol=1e-8, msg=name)
    assert any(
        (p.grad - before[n]).abs().max() > 1e-3 * p.grad.abs().max()
        for n, p in state.model.named_parameters()
        if n in before
    )


def test_a_backbone_that_is_not_trained_follows_no_controls() -> None:
    lora = LORA.model_copy(update={"rank": 0})
    data, config = with_controls(), lora.applied_to(QUICK)
    prepared = training_data(data, manifest_of(data), config, "cpu")
    tuning = FineTuning(lora, FEATURES, None)
    assert not initial_state(prepared, NORMALISED, config, "cpu", tuning).model.follow_constants()


def test_only_adapter_towers_and_temperature_change(tmp_path) -> None:
    result = run_lora(tmp_path)
    assert result.adapter is not None
    assert set(result.adapter.backbone) == {"model", "weights"}
    assert {name.rsplit(".", 2)[-2] for name in result.adapter.weights} == {"lora_A", "lora_B"}
    assert any(w.abs().max() > 0 for n, w in result.adapter.weights.items() if "lora_B" in n)
    checkpoint = torch.load(next(tmp_path.glob("*/last.pt")), weights_only=True)
    of_backbone = [name for name in checkpoint["model"] if name.startswith("backbone.")]
    assert of_backbone
    assert all("lora_" in name for name in of_backbone), "frozen weights are not copied"
    assert result.model.image_fingerprint["adapter"] == result.adapter.digest
    assert "adapter" not in imaged_wells().image_fingerprint


def test_a_frozen_weight_that_changes_is_noticed(tmp_path, monkeypatch) -> None:
    digests = iter(["before", "after"])
    monkeypatch.setattr("morphoclip.training.trainer.frozen_digest", lambda _: next(digests))
    with pytest.raises(RuntimeError, match="should stay frozen"):
        run_lora(tmp_path)
    changed = backbone()
    add_adapter(changed, SETTINGS)
    before = frozen_digest(changed.model)
    next(changed.model.parameters()).data.add_(1)
    assert frozen_digest(changed.model) != before


def test_an_interrupted_training_goes_on_to_the_same_bits(tmp_path) -> None:
    whole = run_lora(tmp_path / "whole")
    with pytest.raises(Interrupted):
        run_lora(tmp_path / "killed", stop_after=1)
    resumed = run_lora(tmp_path / "killed", resume=True)
    assert whole.adapter is not None
    assert resumed.adapter is not None
    assert resumed.adapter.digest == whole.adapter.digest
    assert resumed.model.digest == whole.model.digest
    assert resumed.history.equals(whole.history)


def test_rank_0_trains_the_towers_alone(tmp_path) -> None:
    result = run_lora(tmp_path, LORA.model_copy(update={"rank": 0}))
    assert result.adapter is None
    assert result.model.image_fingerprint == imaged_wells().image_fingerprint


def test_gradient_checkpointing_changes_no_gradient() -> None:
    frugal = LORA.model_copy(update={"gradient_checkpointing": True})
    expected = lora_gradients(ALONE, "cpu", imaged_wells(), LORA, torch.float64)
    found = lora_gradients(ALONE, "cpu", imaged_wells(), frugal, torch.float64)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-12, rtol=1e-10, msg=name)


def test_gradient_checkpointing_computes_layers_twice(monkeypatch) -> None:
    from transformers.models.dinov3_vit.modeling_dinov3_vit import DINOv3ViTMLP

    calls = []
    forward = DINOv3ViTMLP.forward

    def counted(self, *args, **kwargs):
        calls.append(torch.is_grad_enabled())
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(DINOv3ViTMLP, "forward", counted)
    plain = LORA.model_copy(update={"micro_batch": None})
    lora_gradients(ALONE, "cpu", imaged_wells(), plain, torch.float32)
    once, calls[:] = len(calls) - 2, []  # two for the stored tokens
    frugal = plain.model_copy(update={"gradient_checkpointing": True})
    lora_gradients(ALONE, "cpu", imaged_wells(), frugal, torch.float32)
    assert len(calls) - 2 == 2 * once == 4


def test_the_backbone_stays_in_evaluation_mode_but_for_the_adapters_dropout() -> None:
    lora = LORA.model_copy(update={"dropout": 0.5})
    data = imaged_wells()
    prepared = training_data(data, manifest_of(data), QUICK, "cpu")
    model = initial_state(prepared, MODEL, QUICK, "cpu", FineTuning(lora, FEATURES, None)).model
    model.train()
    names = {n for n, m in model.backbone.named_modules() if m.training and n}
    assert names
    assert all("lora_dropout" in name for name in names)
    model.eval()
    assert not any(m.training for m in model.modules())


def test_a_new_adapter_changes_nothing_and_a_trained_one_does() -> None:
    frozen, fresh = backbone(), backbone()
    add_adapter(fresh, SETTINGS)
    assert torch.equal(fresh(images()), frozen(images()))
    changed, _ = trained_adapter()
    assert not torch.allclose(changed(images()), frozen(images()))


def test_a_saved_adapter_gives_the_same_tokens_and_another_identity() -> None:
    changed, adapter = trained_adapter()
    tensors, header = adapter.to_safetensors()
    read = Adapter.from_safetensors(tensors, header)
    assert read.digest == adapter.digest
    again = backbone()
    put_on(again, read)
    assert torch.equal(again(images()), changed(images()))
    assert again.identity == backbone().identity | {"adapter": adapter.digest}
    assert not any(parameter.requires_grad for parameter in again.parameters())


def test_one_grey_channel_with_adapter_equals_three_colours_with_the_merged_one() -> None:
    """The literal form: a plain three-channel model that has the adapter in its weights."""
    changed, adapter = trained_adapter()
    literal = ImageBackbone(load_model(FEATURES.backbone, 3), "per_channel", torch.float32)
    put_on(literal, adapter)
    merge(literal.model)
    assert not any("lora" in name for name, _ in literal.model.named_modules())
    mean, sd = (torch.tensor(x).view(1, 3, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_SD))
    grey = images().reshape(9, 1, 32, 32).expand(-1, 3, -1, -1)
    with torch.no_grad():
        expected = literal.model(pixel_values=(grey - mean) / sd).last_hidden_state[:, 0]
        found = changed(images()).reshape(9, -1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_rank_and_alpha_scale_what_is_added() -> None:
    """``W x + alpha / rank * B A x``, for one layer by hand."""
    changed, adapter = trained_adapter()
    name = "model.layer.0.attention.q_proj"
    layer = changed.model.get_submodule(name)
    x = torch.randn(4, 12, generator=torch.Generator().manual_seed(1))
    a, b = (adapter.weights[f"{name}.lora_{part}.weight"] for part in "AB")
    expected = layer.base_layer(x) + 8 / 2 * x @ a.T @ b.T
    torch.testing.assert_close(layer(x), expected)


def test_a_name_of_no_layer_is_refused_although_others_fit() -> None:
    settings = SETTINGS.model_copy(update={"modules": ("q_proj", "query")})
    with pytest.raises(InputError, match=r"names query, which .* are called .*q_proj"):
        add_adapter(backbone(), settings)


def test_an_adapter_of_another_backbone_is_refused() -> None:
    _, adapter = trained_adapter()
    other = copy.deepcopy(adapter)
    other.backbone["weights"] = "0000"
    with pytest.raises(InputError, match=r"trained for another backbone .*weights"):
        put_on(backbone(), other, name="mine")


def test_an_adapter_that_is_not_there_is_named_with_those_that_are() -> None:
    assert named_adapter({}, None) is None
    with pytest.raises(InputError, match=r"no adapter nope; there are: rank8\. .*lora.name:nope"):
        named_adapter({"rank8": lambda: None}, "nope")


def test_normalisation_follows_the_backbone() -> None:
    """Tokens of the wells' own controls have mean 0 and sd 1 by the adapted backbone, too."""
    from morphoclip.columns import ROLE
    from morphoclip.plate_correction import TokenNormalisation, reference_wells
    from morphoclip.training.controls import renew_normalisation

    data = imaged_wells()
    data.table[ROLE] = ["negcon" if n % 4 == 0 else "trt" for n in range(len(data.table))]
    for normalisation in (TokenNormalisation.NEGCON_ZSCORE, TokenNormalisation.NEGCON_SPHERING):
        model_config = MODEL.model_copy(update={"token_normalisation": normalisation})
        prepared = training_data(data, manifest_of(data), QUICK, "cpu")
        tuning = FineTuning(LORA, FEATURES, None)
        state = initial_state(prepared, model_config, QUICK, "cpu", tuning)
        for name, weight in state.model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight)
        renew_normalisation(state, prepared, QUICK, "cpu")
        reference = torch.from_numpy(reference_wells(data.table).to_numpy().copy())
        rows = torch.nonzero(reference & (data.plates == 1)).squeeze(1)
        tokens = state.model.tokens(data.batch(rows, "cpu")).detach().double()
        expected = (tokens - tokens.mean(0)) / tokens.std(0)
        found = (tokens - state.model.plate_mean[1]) / state.model.plate_sd[1]
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_lora_goes_on_with_the_newest_model_of_the_same_features(tmp_path) -> None:
    data = imaged_wells()
    manifest = manifest_of(data)
    one_epoch = QUICK.model_copy(update={"epochs": 1})
    store = CheckpointStore(tmp_path)
    stored = Wells(**{field.name: getattr(data, field.name) for field in fields(Wells)})
    mine = train(stored, manifest, MODEL, one_epoch, store, lambda *_: None).model
    adapted = copy.copy(mine)
    object.__setattr__(adapted, "image_fingerprint", mine.image_fingerprint | {"adapter": "x"})
    versions = {"2026-01-01": lambda: mine, "2026-01-02": lambda: adapted}
    digest = manifest_sha256(manifest)
    assert model_to_start_from(versions, data, digest, MODEL) is mine
    with pytest.raises(InputError, match="none of the 1 models was made by training"):
        model_to_start_from({"2026-01-02": lambda: adapted}, data, digest, MODEL)
    with pytest.raises(InputError, match="none of the 2 models was made by training"):
        model_to_start_from(versions, data, "another split", MODEL)
    other = MODEL.model_copy(update={"ccf_layers": 2})
    with pytest.raises(InputError, match="ccf_layers 2, not 1"):
        model_to_start_from(versions, data, digest, other)
    tuning = FineTuning(LORA, FEATURES, mine)
    prepared = training_data(data, manifest, QUICK, "cpu")
    state = initial_state(prepared, MODEL, QUICK, "cpu", tuning)
    towers = state.model.towers.state_dict()
    assert all(torch.equal(towers[name], weight) for name, weight in mine.members[0].state.items())
    assert isinstance(mine, TrainedModel)
