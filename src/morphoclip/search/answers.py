"""One question, or several, to everything that an index holds; and how answers look as text."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from morphoclip.columns import CONDITION, GENE, PLATE, PROMPT, SUBSET, WELL
from morphoclip.perturbations.well_index import readable_condition
from morphoclip.search.index import SearchIndex
from morphoclip.search.question import Question
from morphoclip.search.treatments import similar_treatments
from morphoclip.search.wells_and_texts import similar_texts, similar_wells


class Answers(NamedTuple):
    """The most similar treatments, wells and texts."""

    treatments: pd.DataFrame
    wells: pd.DataFrame
    texts: pd.DataFrame


def answers_to(index: SearchIndex, questions: Sequence[Question], *, top_k: int) -> Answers:
    """All of them, ``top_k`` of each per question."""
    return Answers(
        similar_treatments(index.conditions, questions, top_k=top_k),
        similar_wells(index, questions, top_k=top_k),
        similar_texts(index, questions, top_k=top_k),
    )


def treatments_as_text(answers: pd.DataFrame) -> str:
    """A block of lines per condition, within 80 columns.

    ``sd`` is `similarity_sd`, ``null`` is `z_expected_null`.
    """
    numbers = f"{'cosine':>6}{'sd':>5}{'z':>6}{'null':>5}{'q':>6}"
    lines = [f"    {'name':<20}{'gene':<10}{'subset':<11}{numbers}"]
    for condition, rows in answers.groupby(CONDITION, sort=False):
        lines.append("  " + readable_condition(str(condition)))
        for row in rows.to_dict("records"):
            gene = row[GENE] if isinstance(row[GENE], str) and row[GENE] != row["name"] else ""
            name = f"{row['name'][:19]:<20}{gene[:9]:<10}{_subset(row):<11}"
            z = "" if math.isnan(row["z"]) else f"{row['z']:6.1f}{row['z_expected_null']:5.1f}"
            note = f"  {row['note']}" if isinstance(row["note"], str) else ""
            spread = "" if math.isnan(row["similarity_sd"]) else f"{row['similarity_sd']:.2f}"
            lines.append(f"    {name}{row['similarity']:6.2f}{spread:>5}{z}{_q(row)}{note}")
    return "\n".join(lines)


def wells_as_text(answers: pd.DataFrame) -> str:
    """A line per well, within 80 columns."""
    lines = [f"    {'plate':<16}{'well':<5}{'name':<22}{'subset':<11}{'cosine':>6}{'z':>6}{'q':>6}"]
    for row in answers.to_dict("records"):
        z = "" if math.isnan(row["z"]) else f"{row['z']:.1f}"
        name = f"{str(row[PLATE])[:15]:<16}{row[WELL]:<5}{row['name'][:21]:<22}{_subset(row):<11}"
        lines.append(f"    {name}{row['similarity']:6.2f}{z:>6}{_q(row)}")
    return "\n".join(lines)


def texts_as_text(answers: pd.DataFrame) -> str:
    """A line per text."""
    lines = [f"    {'cosine':>6}{'q':>6}  text"]
    lines += [
        f"    {row['similarity']:6.2f}{_q(row):>6}  {row[PROMPT]}"
        for row in answers.to_dict("records")
    ]
    return "\n".join(lines)


def _subset(row: dict[str, Any]) -> str:
    return row[SUBSET] if isinstance(row[SUBSET], str) else ""


def _q(row: dict[str, Any]) -> str:
    return "" if math.isnan(row["q"]) else f"{row['q']:6.3f}"
