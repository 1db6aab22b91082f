"""Known facts as numbers."""

import sys

import numpy as np
import pandas as pd
import pytest

from morphoclip.columns import (
    BROAD_SAMPLE,
    DOSE,
    GENE,
    MOA_LIST,
    MODALITY,
    PROMPT_DIGEST,
    ROLE,
    SMILES,
    TARGET_LIST,
)
from morphoclip.errors import InputError
from morphoclip.perturbations.known_facts import fingerprint_bits, known_facts

PERTURBATIONS = pd.DataFrame(
    {
        MODALITY: ["compound"] * 4 + ["crispr", "crispr"],
        BROAD_SAMPLE: ["a", "b", "c", "DMSO", "g1", "g2"],
        ROLE: ["trt", "trt", "trt", "negcon", "trt", "trt"],
        GENE: ["HDAC1", None, "TUBB", None, "HDAC1", "TUBB"],
        TARGET_LIST: ["HDAC1|HDAC2", None, "TUBB", None, None, None],
        MOA_LIST: ["HDAC inhibitor", "HDAC inhibitor|kinase inhibitor", None, None, None, None],
        SMILES: ["CCO", "no structure", None, "CS(C)=O", None, None],
        DOSE: ["10 µM", "5 µM", None, None, None, None],
    }
)
PROMPTS = pd.DataFrame(
    {
        MODALITY: PERTURBATIONS[MODALITY],
        BROAD_SAMPLE: PERTURBATIONS[BROAD_SAMPLE],
        PROMPT_DIGEST: ["A", "B", "C", "D", "G", "H"],
    }
)
DIGESTS = ["A", "B", "C", "D", "G", "H"]


def facts(*sources: str, prompts: pd.DataFrame = PROMPTS) -> pd.DataFrame:
    found = known_facts(PERTURBATIONS, prompts, DIGESTS, sources)
    names = [name for columns in found.names.values() for name in columns]
    return pd.DataFrame(found.values, index=DIGESTS, columns=names)


def test_names_are_columns_and_absence_is_no_fact() -> None:
    table = facts("target", "mechanisms")
    assert table.columns.tolist() == ["HDAC1", "TUBB", "HDAC inhibitor", "kinase inhibitor"]
    assert table.loc["A"].tolist() == [1, 0, 1, 0]
    assert table.loc["B"].tolist() == [0, 0, 1, 1]
    assert table.loc["G", "HDAC1"] == 1, "a knockout's gene is its target"
    assert not table.loc["D"].any(), "of a negative control nothing is known"


def test_listed_targets_are_a_source_of_their_own() -> None:
    found = known_facts(PERTURBATIONS, PROMPTS, DIGESTS, ("target", "targets"))
    assert dict(found.names) == {
        "target": ("HDAC1", "TUBB"), "targets": ("HDAC1", "HDAC2", "TUBB")
    }  # fmt: skip
    assert found.values[0].tolist() == [1, 0, 1, 1, 0]


def test_a_dose_lies_between_two_marks() -> None:
    table = facts("dose")
    assert table.columns.tolist() == ["1e0.5 µM", "1e1 µM"]
    assert table.loc["A"].tolist() == [0, 1]
    below = 1 - (2 * np.log10(5) - 1)
    assert table.loc["B"].tolist() == pytest.approx([below, 1 - below])


def test_a_structure_is_its_fingerprint_and_what_cannot_be_read_is_counted(caplog) -> None:
    table = facts("structure")
    assert table.shape == (6, 2048)
    assert table.loc["A"].sum() == 6
    assert table.drop(index="A").to_numpy().sum() == 0
    assert "1 of 2 structures cannot be read by rdkit" in caplog.text
    assert "no structure" in caplog.text
    assert fingerprint_bits(["CCO"])[0] == tuple(np.flatnonzero(table.loc["A"]))


def test_treatments_of_one_prompt_share_what_is_known() -> None:
    together = PROMPTS.assign(**{PROMPT_DIGEST: ["A", "A", "C", "D", "G", "H"]})
    table = facts("target", "mechanisms", prompts=together)
    assert table.loc["A"].tolist() == [1, 0, 1, 1]


def test_without_rdkit_structures_are_refused_in_a_sentence(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(InputError, match=r"pip install 'morphoclip\[structure\]'"):
        facts("structure")
    assert facts("target").shape == (6, 2)
