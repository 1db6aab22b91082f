"""Prompts to text features: as they come, against distinct ones by length."""

import os
import tempfile
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from benchmarks.harness import Timing, Way, interleave
from morphoclip.backbones.config import TextBackboneConfig
from morphoclip.backbones.text import TextTransformer
from morphoclip.columns import BROAD_SAMPLE, MODALITY, PROMPT
from morphoclip.features.text_features import encode_prompts
from morphoclip.perturbations.jump_target import perturbation_table
from morphoclip.perturbations.prompts import prompt_digest, prompt_table
from morphoclip.perturbations.wording import PromptTemplates, TextLevel


def cpjump1_prompts() -> list[str]:
    """One full prompt an ID, from the files below ``MORPHOCLIP_TEST_DATA``; none without it."""
    place = os.environ.get("MORPHOCLIP_TEST_DATA")
    if place is None:
        return []

    def read(path: Path) -> pd.DataFrame:
        return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)

    tables = {p.stem: read(p) for p in Path(place).rglob("external_metadata/*.tsv")}
    annotations = next(Path(place).rglob("*additional_annotations.tsv"))
    table = perturbation_table(tables, read(annotations))
    no_wells = pd.DataFrame({"Metadata_Plate": [], MODALITY: [], BROAD_SAMPLE: []})
    return list(prompt_table(table, no_wells, TextLevel.FULL, PromptTemplates())[PROMPT])


def synthetic_prompts() -> list[str]:
    """As many and about as long: compounds once, genes twice or three times."""
    compounds = [
        f"Chemical perturbation: compound {n}. Function: inhibitor. SMILES: {'C' * (9 + n % 70)}."
        for n in range(306)
    ]
    genes = [f"CRISPR knockout of GENE{n % 160}." for n in range(335)]
    return [*compounds, *genes, *(f"ORF overexpression of GENE{n}." for n in range(175))]


def literal_features(backbone: TextTransformer, prompts: list[str], batch_size: int = 32) -> Tensor:
    """Every row's prompt, in the order of the table, padded to the longest of its batch."""
    batches = [prompts[n : n + batch_size] for n in range(0, len(prompts), batch_size)]
    with torch.inference_mode():
        return torch.cat([backbone._encode_batch(batch) for batch in batches])


def text_features(*, rounds: int) -> tuple[str, list[Timing]]:
    """A small ModernBERT with random weights, one thread."""
    torch.set_num_threads(1)
    prompts = cpjump1_prompts()
    title = "CPJUMP1's prompts" if prompts else "synthetic prompts"
    prompts = prompts or synthetic_prompts()
    with tempfile.TemporaryDirectory() as folder:
        backbone = small_modernbert(Path(folder), prompts)
    ours = encode_prompts(prompts, backbone).features
    literal = literal_features(backbone, prompts)
    difference = (ours.lookup([prompt_digest(p) for p in prompts]) - literal).abs().max()
    if difference > 1e-5:
        raise AssertionError(f"text features differ by {difference}")
    return title, interleave(
        [
            Way("every row, in its order", lambda: literal_features(backbone, prompts)),
            Way("ours: distinct, by length", lambda: encode_prompts(prompts, backbone)),
        ],
        rounds=rounds,
    )


def small_modernbert(folder: Path, prompts: list[str]) -> TextTransformer:
    """A ModernBERT of the real class, four layers, with a tokenizer of single characters."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import ModernBertConfig, ModernBertModel, PreTrainedTokenizerFast
    from transformers.utils import logging

    logging.disable_progress_bar()
    characters = sorted({character for prompt in prompts for character in prompt})
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *characters]
    tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    ModernBertModel(
        ModernBertConfig(
            vocab_size=len(words), hidden_size=128, intermediate_size=256, num_hidden_layers=4,
            num_attention_heads=4, pad_token_id=0, cls_token_id=2, sep_token_id=3, bos_token_id=2,
            eos_token_id=3,
        )
    ).save_pretrained(folder)  # fmt: skip
    return TextTransformer(TextBackboneConfig(model_id=str(folder)), device="cpu")
