"""A packed model: what it gives is what was packed, and what is damaged is said in a sentence."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_training import MODEL, QUICK, SilentLog, manifest_of, wells

import morphoclip
from morphoclip.backbones.config import TextBackboneConfig
from morphoclip.backbones.text import HashedNgrams
from morphoclip.bundle.card import Measured, model_card
from morphoclip.bundle.files import CONFIG_FILE, PROFILES_FILE
from morphoclip.bundle.folder import PackedModel, write_bundle
from morphoclip.bundle.loaded import Bundle
from morphoclip.bundle.pack import TREATMENT_COLUMNS
from morphoclip.columns import (
    BROAD_SAMPLE,
    MODALITY,
    N_SITES,
    NORMALISED_BY,
    PLATE,
    PROMPT,
    PROMPT_DIGEST,
    SUBSET,
    WELL,
    embedding_columns,
)
from morphoclip.errors import InputError
from morphoclip.evaluation.profiles import prompt_embeddings, well_profiles
from morphoclip.files import json_digest
from morphoclip.models.embedding import embed_with_parts
from morphoclip.models.trained import TrainedModel
from morphoclip.training.checkpoints import CheckpointStore
from morphoclip.training.members import train_members
from morphoclip.wells.assemble import Wells

WORDS = TextBackboneConfig(kind="ngrams", dim=10)
SENTENCES = ["Target: HDAC1.", "Function: tubulin inhibitor."]


def data() -> Wells:
    made = wells()
    fingerprint = HashedNgrams(10).identity
    return replace(
        made, text_fingerprint=fingerprint, image_fingerprint={"model": "CellProfiler features"}
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> TrainedModel:
    given = data()
    model = MODEL.model_copy(update={"closed_form": "kernel_cca"})
    training = QUICK.model_copy(update={"epochs": 2, "members": 2, "cwa": "condition_offset"})
    store = CheckpointStore(tmp_path_factory.mktemp("checkpoints"))
    return train_members(given, manifest_of(given), model, training, store, SilentLog()).model


def comparison() -> pd.DataFrame:
    rows = []
    for direction in ("both", "image_to_text", "text_to_image"):
        for method, value in (("model", 0.5), ("kernel_ridge", 0.4)):
            of_model = value - 0.5
            interval = {"ci_low": value - 0.1, "ci_high": value + 0.1}
            beside = {"difference_low": of_model - 0.1, "difference_high": of_model + 0.1}
            what = {"scope": "within_modality", "direction": direction, "metric": "mrr"}
            number = {"value": value, "chance": 0.2, "n_perturbations": 12, "difference": of_model}
            rows.append({**what, "method": method, **number, **interval, **beside})
    return pd.DataFrame(rows)


def card_of(trained: TrainedModel) -> str:
    measured = Measured(
        data().table,
        {"strategy": "pert_type", "parameters": {"seed": 3}, "sha256": "f" * 64},
        pd.DataFrame({SUBSET: ["train"], MODALITY: ["compound"], "wells": [24], "entities": [12]}),
        pd.DataFrame(
            {
                "subset": ["train"],
                "other_subset": ["test"],
                "what": ["gene"],
                "shared": [3],
                "verdict": ["by design"],
            }
        ),
        comparison(),
    )
    return model_card(
        trained, None, measured, description="Twelve made-up | compounds.", licence="mit"
    )


def packed(trained: TrainedModel, *, profiles: bool = True) -> PackedModel:
    given = data()
    embedded = embed_with_parts(trained, given, batch_size=512, device="cpu")
    table = given.table.assign(**{BROAD_SAMPLE: "s" + given.table[PROMPT_DIGEST]})
    own = well_profiles(embedded, replace(given, table=table), trained.digest, None)
    treatments = (
        table[[MODALITY, BROAD_SAMPLE]].drop_duplicates().reindex(columns=TREATMENT_COLUMNS)
    )
    prompts = prompt_embeddings(embedded, given).assign(
        **{PROMPT: [f"Compound {digest}." for digest in given.digests], MODALITY: "compound"}
    )
    return PackedModel(
        model=trained,
        images=None,
        text=WORDS,
        prompts=prompts,
        treatments=treatments.reset_index(drop=True),
        profiles=own if profiles else None,
        adapter=None,
        card=card_of(trained),
    )


@pytest.fixture(scope="module")
def bundle(trained, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("packed") / "bundle"
    write_bundle(packed(trained), folder)
    return folder


@pytest.fixture
def copied(bundle, tmp_path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copied"))


def test_a_loaded_model_is_the_packed_one_to_the_bit(trained, bundle) -> None:
    loaded = morphoclip.load(bundle)
    assert loaded.model.digest == trained.digest
    given = data()
    own = embed_with_parts(trained, given, batch_size=512, device="cpu")
    again = embed_with_parts(loaded.model, given, batch_size=512, device="cpu")
    assert (again.image == own.image).all()
    assert (again.text == own.text).all()
    assert loaded.model.aligned_plates == trained.aligned_plates == {"P0", "P1"}
    assert loaded.model.to_payload().keys() == trained.to_payload().keys()


def test_tokens_become_the_profiles_that_the_catalog_has(trained, bundle) -> None:
    loaded, given = morphoclip.load(bundle), data()
    of_site = np.repeat(np.arange(len(given.table)), given.table[N_SITES])
    sites = given.table.iloc[of_site]
    profiles = loaded.embed_tokens(
        given.sites.tokens.numpy(), list(sites[WELL]), plates=list(sites[PLATE]), normalised=True
    )
    own = embed_with_parts(trained, given, batch_size=512, device="cpu").image
    expected = pd.DataFrame(own, index=pd.MultiIndex.from_frame(given.table[[PLATE, WELL]]))
    found = profiles.set_index([PLATE, WELL]).loc[expected.index, embedding_columns(profiles)]
    np.testing.assert_array_equal(found.to_numpy(), expected.to_numpy())
    assert set(profiles[NORMALISED_BY]) == {"none"}
    assert set(profiles["Metadata_model"]) == {trained.digest}


def test_words_become_vectors_of_the_same_space(bundle) -> None:
    vectors = morphoclip.load(bundle).embed_text(SENTENCES)
    np.testing.assert_allclose((vectors**2).sum(axis=1), 1, rtol=1e-5)
    alone = morphoclip.load(bundle).embed_text(SENTENCES[0])
    np.testing.assert_allclose(alone[0], vectors[0], atol=1e-6)


def test_profiles_are_mapped_into_memory_beside_their_wells(trained, bundle) -> None:
    loaded = morphoclip.load(bundle)
    assert isinstance(loaded.profiles, np.memmap)
    own = embed_with_parts(trained, data(), batch_size=512, device="cpu").image
    np.testing.assert_array_equal(loaded.profiles, own)
    assert len(loaded.wells) == len(own)
    assert len(loaded.prompts) == 16
    assert not embedding_columns(loaded.wells)


def test_nothing_in_a_bundle_is_pickled_or_names_this_machine(bundle) -> None:
    for path in bundle.iterdir():
        content = path.read_bytes()
        assert str(bundle.parent).encode() not in content, path.name
        assert path.suffix in {".json", ".md", ".parquet", ".npy", ".safetensors"}
        assert not content.startswith((b"\x80\x02", b"\x80\x04", b"PK")), path.name


def test_the_card_says_what_the_hub_and_people_ask(trained, bundle) -> None:
    from huggingface_hub import ModelCard

    card = ModelCard.load(bundle / "README.md")
    assert card.data.license == "mit"
    assert card.data.library_name == "morphoclip"
    assert card.data.pipeline_tag == "feature-extraction"
    text = card.text
    assert "Twelve made-up" in text
    assert "| **this model** | 0.500 | 0.400 to 0.600 |" in text
    assert "| kernel ridge | 0.400 |" in text
    assert "Chance is 0.200" in text
    assert "| train, test | gene | 3 | by design |" in text
    assert "compares spelling" in re.sub(r"\s+", " ", text)
    assert trained.digest in text


def test_a_bundle_without_profiles_says_so(trained, tmp_path) -> None:
    write_bundle(packed(trained, profiles=False), tmp_path / "small")
    loaded = morphoclip.load(tmp_path / "small")
    with pytest.raises(InputError, match=r"holds no reference profiles.*pack_model\.profiles:true"):
        _ = loaded.profiles


def test_a_bundle_takes_the_place_of_an_older_one_whole(trained, copied) -> None:
    (copied / "stale").write_text("of before")
    write_bundle(packed(trained, profiles=False), copied)
    assert not (copied / "stale").exists()
    assert not (copied / PROFILES_FILE).exists()
    assert [path.name for path in copied.parent.iterdir()] == ["copied"]
    assert morphoclip.load(copied).model.digest == trained.digest


def change_config(folder: Path, **changes: object) -> None:
    """As if it had been packed so."""
    path = folder / CONFIG_FILE
    written = json.loads(path.read_text()) | changes
    written.pop("sha256")
    path.write_text(json.dumps(written | {"sha256": json_digest(written)}))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda f: change_config(f, format=2), r"has format 2 .* reads format 1: a newer version"),
        (lambda f: change_config(f, format=0), r"has format 0 .*: pack the model again"),
        (lambda f: change_config(f, format="one"), r"has format 'one' "),
        (lambda f: change_config(f, extra=1), r"config.json of the bundle .* \(extra: "),
        (lambda f: change_config(f, epochs=["a"]), r"config.json of the bundle .* \(epochs\.0: "),
        (lambda f: (f / CONFIG_FILE).write_text("[]"), r"config.json of the bundle"),
        (lambda f: (f / CONFIG_FILE).write_text("{"), r"config.json of the bundle"),
        (lambda f: (f / CONFIG_FILE).write_bytes(b"\xff\xfe"), r"config.json of the bundle"),
        (lambda f: (f / CONFIG_FILE).unlink(), r"holds no config.json and is no bundle"),
        (lambda f: (f / "model.safetensors").unlink(), r"model.safetensors .*it is not there"),
        (
            lambda f: (f / "model.safetensors").write_bytes(b"\x80\x04pickle"),
            r"model.safetensors .*content is not what was packed",
        ),
        (lambda f: change_config(f, digest="0" * 16), r"weights are not those .* names"),
    ],
)  # fmt: skip
def test_what_is_damaged_is_a_sentence(copied, spoil, sentence) -> None:
    spoil(copied)
    with pytest.raises(InputError, match=sentence):
        morphoclip.load(copied)


def test_one_flipped_byte_of_any_file_is_noticed(copied) -> None:
    readers = {
        "config.json": lambda loaded: loaded.model,
        "model.safetensors": lambda loaded: loaded.model,
        "prompts.parquet": lambda loaded: loaded.prompts,
        "treatments.parquet": lambda loaded: loaded.treatments,
        "wells.parquet": lambda loaded: loaded.wells,
        "profiles.npy": lambda loaded: loaded.profiles,
    }
    for name, read in readers.items():
        path = copied / name
        before = path.read_bytes()
        changed = bytearray(before)
        changed[len(changed) // 2] ^= 1
        path.write_bytes(changed)
        with pytest.raises(InputError, match=re.escape(name)):
            read(morphoclip.load(copied))
        path.write_bytes(before)
    assert morphoclip.load(copied)


def test_weights_of_another_shape_are_refused(copied) -> None:
    path = copied / "model.safetensors"
    tensors = load_file(path)
    tensors["member_1/logit_scale"] = torch.zeros(3)
    save_file(tensors, path)
    with pytest.raises(InputError, match=r"model\.safetensors"):
        morphoclip.load(copied)


@pytest.mark.parametrize("place", ["nowhere", "/nowhere/at/all", "../up", "a/b/c"])
def test_what_is_neither_a_folder_nor_a_hub_name_is_a_sentence(place) -> None:
    with pytest.raises(InputError, match=r"there is no folder .*owner/name"):
        morphoclip.load(place)


def test_a_hub_name_that_cannot_be_had_is_a_sentence(monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match=r"neither a folder nor to be had from the hub"):
        morphoclip.load("nobody/no-such-bundle")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"tokens": np.zeros((4, 3, 11))}, r"tokens have shape \(4, 3, 11\); due are"),
        ({"tokens": np.zeros((4, 12))}, r"tokens have shape \(4, 12\)"),
        ({"wells": ["A01"]}, r"4 sites and wells has 1 entries"),
        ({"wells": ["A01", "A02", "Q99", "A03"]}, r"'Q99' is no well"),
        ({"controls": [True]}, r"4 sites and controls has 1 entries"),
        ({"controls": [1, 0, 0, 1]}, r"controls has to be true or false"),
        (
            {"wells": ["A01", "A01", "A02", "A02"], "controls": [True, False, True, True]},
            r"some sites of a well are controls and others are not",
        ),
    ],
)
def test_what_does_not_fit_is_a_sentence(bundle, arguments, sentence) -> None:
    given = {"tokens": np.zeros((4, 3, 12)), "wells": ["A01", "A02", "B01", "B02"]} | arguments
    with pytest.raises(InputError, match=sentence):
        Bundle(bundle).embed_tokens(given.pop("tokens"), given.pop("wells"), **given)


def test_a_model_of_profiles_says_that_it_takes_no_images(bundle) -> None:
    with pytest.raises(InputError, match=r"was trained on profiles .* give it tokens"):
        Bundle(bundle).embed_images([np.zeros((3, 8, 8), np.uint16)], ["A01"])
