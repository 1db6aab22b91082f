"""Known facts and the closed form: against what they are, written out."""

import numpy as np
import pytest
import torch
from small_training import (
    MODEL,
    NO_DROPOUT,
    QUICK,
    StopAfter,
    manifest_of,
    wells,
    wells_with_facts,
)
from torch.nn.functional import normalize

from morphoclip.columns import Subset
from morphoclip.models.closed_form import (
    ClosedForm,
    KernelTower,
    fit_closed_form,
    fit_kernel_towers,
)
from morphoclip.models.config import ModelConfig, ModelShape
from morphoclip.models.morphoclip import MorphoCLIP
from morphoclip.models.prompt_input import PromptInput
from morphoclip.training.checkpoints import CheckpointStore
from morphoclip.training.trainer import train

SCALED = MODEL.model_copy(update={"text_scaling": "train"})


def test_words_and_facts_are_scaled_by_the_train_prompts() -> None:
    data = wells_with_facts()
    shape = ModelShape.of(data)
    assert (shape.text_dim, shape.facts) == (10, {"target": 8, "dose": 3})
    read = PromptInput(shape, scaled=True, fact_weight=0.5)
    train_rows = data.text[4:]
    read.fit(train_rows)
    words, target, dose = read(data.text)
    centred = data.text[:, :10] - train_rows[:, :10].mean(dim=0)
    torch.testing.assert_close(words, 10**0.5 * normalize(centred, dim=-1))
    counts = (train_rows[:, 10:] > 0).sum(dim=0)
    rarity = torch.log(13 / (1 + counts)) * (counts > 0)
    expected = normalize(data.text[:, 10:] * rarity, dim=-1)
    assert not target[:4].any(), "targets that no train prompt has are nothing"
    torch.testing.assert_close(
        target[4:], 0.5 * 10**0.5 * normalize((data.text[:, 10:] * rarity)[4:, :8], dim=-1)
    )
    assert expected.shape == (16, 11)
    known = data.text[:, 18:].any(dim=1)
    torch.testing.assert_close(dose.norm(dim=-1), 0.5 * 10**0.5 * known)


def test_without_scaling_and_facts_the_model_is_the_specs() -> None:
    data = wells()
    torch.manual_seed(0)
    model = MorphoCLIP(MODEL, ModelShape.of(data)).eval()
    assert not [name for name in model.state_dict() if "prompt_input" in name or "fact" in name]
    expected = normalize(model.text_head(data.text), dim=-1)
    assert torch.equal(model.encode_text(data.text), expected)


def test_with_all_facts_left_out_the_model_is_the_one_without() -> None:
    data = wells_with_facts()
    torch.manual_seed(0)
    plain = MorphoCLIP(MODEL, ModelShape.of(wells())).eval()
    torch.manual_seed(0)
    model = MorphoCLIP(MODEL, ModelShape.of(data)).eval()
    model.prompt_input.fit(data.text)
    absent = torch.cat([data.text[:, :10], torch.zeros(16, 11)], dim=1)
    assert torch.equal(model.encode_text(absent), plain.encode_text(data.text[:, :10]))
    assert not torch.equal(model.encode_text(data.text), plain.encode_text(data.text[:, :10]))


def test_a_training_in_which_all_facts_are_left_out_gives_the_weights_of_one_without(
    tmp_path,
) -> None:
    left_out = MODEL.model_copy(update={"fact_dropout": 1.0})
    members = []
    for name, data, model in (
        ("with", wells_with_facts(), left_out), ("without", wells(), MODEL)
    ):  # fmt: skip
        store = CheckpointStore(tmp_path / name)
        done = train(data, manifest_of(data), model, QUICK, store, StopAfter(None))
        members.append(done.model.members[0])
    assert members[0].epoch == members[1].epoch
    for name, weights in members[1].state.items():
        assert torch.equal(weights, members[0].state[name]), name


def test_whole_sources_are_left_out_in_training_only() -> None:
    data = wells_with_facts()
    config = NO_DROPOUT.model_copy(update={"fact_dropout": 0.5})
    torch.manual_seed(0)
    model = MorphoCLIP(config, ModelShape.of(data))
    model.prompt_input.fit(data.text)
    assert torch.equal(model.eval().encode_text(data.text), model.eval().encode_text(data.text))
    model.train()
    drawn = torch.stack([model.encode_text(data.text) for _ in range(40)])
    kinds = [len(torch.unique(drawn[:, row].round(decimals=5), dim=0)) for row in range(16)]
    assert max(kinds) == 4, "two sources, there or not"
    assert kinds[2] == 2, "of this prompt one source is known"


def kernel_cca(image, text, new_image, new_text, strength):
    """Written out: centre the kernels in feature space, then (K + strength I)^-1 on both sides."""
    sides = []
    for rows, new in ((image, new_image), (text, new_text)):
        mean = rows.mean(0)
        unit = (rows - mean) / np.linalg.norm(rows - mean, axis=1, keepdims=True)
        asked = (new - mean) / np.linalg.norm(new - mean, axis=1, keepdims=True)
        squared = ((unit[:, None] - unit[None]) ** 2).sum(-1)
        # torch's median is the lower of two
        width = np.sort(squared[np.triu_indices(len(unit), 1)])[
            (len(unit) * (len(unit) - 1) // 2 - 1) // 2
        ]
        kernel = np.exp(-squared / width)
        across = np.exp(-((asked[:, None] - unit[None]) ** 2).sum(-1) / width)
        n = len(unit)
        centre = np.eye(n) - np.ones((n, n)) / n
        centred = centre @ kernel @ centre
        centred_across = (across - kernel.mean(0)) @ centre
        embedded = centred_across @ np.linalg.inv(centred + strength * np.eye(n))
        sides.append(embedded / np.linalg.norm(embedded, axis=1, keepdims=True))
    return sides[0] @ sides[1].T


def test_the_closed_form_is_kernel_cca_written_out() -> None:
    rng = np.random.default_rng(0)
    image, text = rng.standard_normal((20, 7)), rng.standard_normal((20, 5))
    new_image, new_text = rng.standard_normal((6, 7)), rng.standard_normal((6, 5))
    towers = KernelTower(20, 7, 20).double(), KernelTower(20, 5, 20).double()
    fit_kernel_towers(
        (towers[0], torch.from_numpy(image)), (towers[1], torch.from_numpy(text)), strength=0.7
    )
    found = towers[0](torch.from_numpy(new_image)) @ towers[1](torch.from_numpy(new_text)).T
    expected = kernel_cca(image, text, new_image, new_text, 0.7)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-9)


def test_the_closed_form_finds_what_is_planted_and_fewer_dimensions_cost_little() -> None:
    data = wells(prompts=40)
    rows = data.rows_of_subset(manifest_of(data, held_out=8), Subset.TRAIN)
    held_out = data.select(data.rows_of_subset(manifest_of(data, held_out=8), Subset.VALIDATION))
    rotation = torch.linalg.qr(torch.randn(36, 10, generator=torch.Generator().manual_seed(2)))[0]
    tokens = data.text[data.prompt_of_well.repeat_interleave(data.sites.n_sites)] @ rotation.T
    planted = tokens.reshape(data.sites.tokens.shape).half()
    shown = {"sites": type(data.sites)(planted, data.sites.offsets)}
    data, held_out = (
        type(data)(**vars(data) | shown),
        type(data)(**vars(data) | shown).select(
            data.rows_of_subset(manifest_of(data, held_out=8), Subset.VALIDATION)
        ),
    )
    cosines = []
    for width in (64, 24):
        config = ModelConfig(output_dim=width, ccf_heads=1, closed_form_strength=0.1)
        state = fit_closed_form(data, rows, config)
        assert state["image_tower.weights"].shape == (64, min(width, 64))
        model = ClosedForm(config, ModelShape.of(data), 64)
        model.load_state_dict(state)
        image = model.encode_image(held_out.sites)
        text = model.encode_text(held_out.text)
        found = (image @ text.T).argmax(dim=1)
        assert (found == held_out.prompt_of_well).float().mean() > 0.8
        cosines.append(image @ text.T)
    torch.testing.assert_close(*cosines, atol=0.3, rtol=0)


@pytest.mark.parametrize("n_prompts", [1, 2])
def test_one_or_two_prompts_give_numbers(n_prompts: int) -> None:
    data = wells(prompts=n_prompts)
    state = fit_closed_form(data, torch.arange(len(data.table)), MODEL)
    model = ClosedForm(MODEL, ModelShape.of(data), 2 * n_prompts)
    model.load_state_dict(state)
    assert model.encode_image(data.sites).isfinite().all()
    assert model.encode_text(data.text).isfinite().all()
