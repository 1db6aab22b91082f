"""Frozen text backbones."""

import json

import pytest
import torch
from transformers import ModernBertConfig, ModernBertModel, PreTrainedTokenizerFast

from morphoclip.backbones.config import TextBackboneConfig
from morphoclip.backbones.text import HashedNgrams, load_text_backbone
from morphoclip.errors import InputError
from morphoclip.features.text_features import TextFeatures, cache_key, encode_prompts
from morphoclip.perturbations.prompts import prompt_digest

PROMPTS = [
    "CRISPR knockout of TUBA1A.",
    "CRISPR knockout of TUBA1B.",
    "ORF overexpression of CDK1.",
]


def test_ngrams_are_unit_length_and_alike_for_alike_words() -> None:
    features = HashedNgrams(768).encode(PROMPTS)
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(3))
    assert features[0] @ features[1] > features[0] @ features[2] + 0.3
    assert HashedNgrams(8).n_cut(PROMPTS) == 0


def test_ngrams_are_the_same_in_every_process() -> None:
    features = HashedNgrams(8).encode(["DMSO"])
    golden = [0.0, 0.2887, 0.5774, -0.2887, -0.5774, -0.2887, -0.2887, 0.0]
    torch.testing.assert_close(features[0], torch.tensor(golden), atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small ModernBERT with random weights and a word-level tokenizer, as a user's folder."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = sorted({w for p in PROMPTS for w in p.replace(".", " .").split()})
    vocabulary = {w: n for n, w in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    place = tmp_path_factory.mktemp("bert")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(place)
    torch.manual_seed(0)
    ModernBertModel(
        ModernBertConfig(
            vocab_size=len(vocabulary), hidden_size=32, intermediate_size=32,
            num_hidden_layers=2, num_attention_heads=2, pad_token_id=0, cls_token_id=2,
            sep_token_id=3, bos_token_id=2, eos_token_id=3,
        )
    ).save_pretrained(place)  # fmt: skip
    return place


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_transformer_gives_each_prompt_what_it_gives_it_alone(folder, pooling: str) -> None:
    config = TextBackboneConfig(model_id=str(folder), pooling=pooling)
    backbone = load_text_backbone(config, device="cpu")
    prompts = [*PROMPTS, "knockout"]
    together = backbone.encode(prompts)
    alone = torch.cat([backbone.encode([prompt]) for prompt in prompts])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    assert backbone.identity["pooling"] == pooling


def test_cut_prompts_are_counted(folder) -> None:
    config = TextBackboneConfig(model_id=str(folder), max_length=8)
    backbone = load_text_backbone(config, device="cpu")
    assert backbone.n_cut([" ".join(["knockout"] * 20), "x"]) == 1


def test_each_distinct_prompt_is_encoded_once_and_found_by_its_digest() -> None:
    features = encode_prompts([*PROMPTS, *PROMPTS], HashedNgrams(64)).features
    assert features.features.shape == (3, 64)
    wanted = [prompt_digest(PROMPTS[2]), prompt_digest(PROMPTS[0])]
    expected = HashedNgrams(64).encode([PROMPTS[2], PROMPTS[0]])
    torch.testing.assert_close(features.lookup(wanted), expected)
    again = TextFeatures.from_payload(
        json.loads(json.dumps({"digests": ["a"], "fingerprint": {}}))
        | {"features": torch.ones(1, 2)}
    )
    with pytest.raises(InputError, match=r"1 prompt\(s\) have no text features"):
        again.lookup(["b"])


class Counting(HashedNgrams):
    """Counts what it is asked to encode."""

    def __init__(self) -> None:
        super().__init__(64)
        self.encoded: list[str] = []

    def encode(self, prompts):
        self.encoded += prompts
        return super().encode(prompts)


def test_what_is_known_is_not_encoded_again() -> None:
    backbone = Counting()
    first = encode_prompts(PROMPTS[:2], backbone)
    second = encode_prompts(PROMPTS, backbone, first.cache)
    third = encode_prompts(PROMPTS[:2], backbone, second.cache)
    assert [first.n_encoded, second.n_encoded, third.n_encoded] == [2, 1, 0]
    assert sorted(backbone.encoded) == sorted(PROMPTS)
    assert third.features.digests == first.features.digests
    torch.testing.assert_close(third.features.features, first.features.features)
    assert len(third.cache.digests) == 3


def test_another_model_or_length_is_another_store() -> None:
    keys = {cache_key(HashedNgrams(dim)) for dim in (64, 128)}
    assert len(keys) == 2
    assert all(key.startswith("hashed-n-grams-") for key in keys)


def test_a_model_that_cannot_be_had_gives_the_steps() -> None:
    with pytest.raises(InputError, match="text backbone nobody/none cannot be loaded"):
        load_text_backbone(TextBackboneConfig(model_id="nobody/none"), device="cpu")
