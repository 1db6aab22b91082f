"""What each address shows: tables and names for the templates, no HTML."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from morphoclip.columns import (
    BROAD_SAMPLE,
    CONDITION,
    GENE,
    MODALITY,
    PLATE,
    QUALITY,
    SUBSET,
    WELL,
)
from morphoclip.errors import InputError
from morphoclip.evaluation.treatments import MECHANISMS, NAME
from morphoclip.explore.addresses import (
    control_of,
    picture_of,
    plate_url,
    site_address,
    treatment_url,
    well_url,
)
from morphoclip.explore.data import ExploreData
from morphoclip.explore.plate_map import plate_map
from morphoclip.explore.well_values import column_of
from morphoclip.metrics.conditions import treated_wells
from morphoclip.metrics.matrix import unit_rows
from morphoclip.perturbations.well_index import readable_condition
from morphoclip.search.answers import Answers, answers_to
from morphoclip.search.index import TARGETS
from morphoclip.search.question import Question
from morphoclip.search.questions import question_of_rows, questions_of
from morphoclip.search.top_k import similarities

TOP = 8
EXAMPLES = 6
_KINDS = ("text", "treatment", "well", "structure")


def as_number(value: Any, digits: int = 2) -> str:
    """A number for a table; nothing where it is not known."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.{digits}f}"


def home(data: ExploreData, question: str, kind: str) -> dict[str, Any]:
    """Answers to a question, or where to begin."""
    context: dict[str, Any] = {
        "q": question,
        "kind": kind,
        "plates": plates(data),
        "examples": examples(data),
        "given": None,
        "sentence": "",
    }
    if question.strip():
        try:
            questions, found = answers_of(data, question, kind)
        except InputError as error:
            return context | {"sentence": str(error)}
        context["given"] = [_shown(data, one, found) for one in questions]
    return context


def answers_of(data: ExploreData, text: str, kind: str) -> tuple[list[Question], Answers]:
    """What was asked, and what is most like it."""
    chosen: Any = kind if kind in _KINDS else None
    questions = questions_of(text, data.index, data.embed_text, chosen)
    return questions, answers_to(data.index, questions, top_k=TOP)


def _shown(data: ExploreData, question: Question, answers: Answers) -> dict[str, Any]:
    """The answers to one question, with pictures."""
    treatments, wells, texts = (
        table[(table["query"] == question.label) & (table["query_condition"] == question.condition)]
        for table in answers
    )
    by_condition = [
        (str(name), [_treatment_row(data, row) for row in rows.to_dict("records")])
        for name, rows in treatments.groupby(CONDITION, sort=False)
    ]
    return {
        "label": question.label,
        "condition": question.condition,
        "treatments": by_condition,
        "wells": [_well_row(data, row) for row in wells.to_dict("records")],
        "texts": texts.to_dict("records"),
    }


def _treatment_row(data: ExploreData, row: dict[str, Any]) -> dict[str, Any]:
    """An answer with one of its wells, and a control of that well's plate."""
    shown = data.first_shown.get((row[CONDITION], row[MODALITY], row[BROAD_SAMPLE]))
    return row | {
        "url": treatment_url(row[MODALITY], row[BROAD_SAMPLE]),
        "picture": picture_of(data, *shown) if shown else None,
        "control": control_of(data, *shown) if shown else None,
        "gene": row[GENE] if isinstance(row[GENE], str) else "",
        "subset": row[SUBSET] if isinstance(row[SUBSET], str) else "",
        "shared": _listed(row["shared_targets"], row["shared_mechanisms"]),
        "note": row["note"] if isinstance(row["note"], str) else "",
    }  # fmt: skip


def _listed(*entries: Any) -> str:
    """What cells ``A|B`` hold, those that are missing passed over."""
    return ", ".join(text for text in entries if isinstance(text, str)).replace("|", ", ")


def _well_row(data: ExploreData, row: dict[str, Any]) -> dict[str, Any]:
    return row | {
        "url": well_url(row[PLATE], row[WELL]),
        "picture": picture_of(data, row[PLATE], row[WELL]),
        "control": control_of(data, row[PLATE], row[WELL]),
        "subset": row[SUBSET] if isinstance(row[SUBSET], str) else "",
    }


def plates(data: ExploreData) -> list[dict[str, Any]]:
    """Every plate with its condition and the number of its wells."""
    grouped = data.index.wells.groupby(PLATE, sort=True)
    table = pd.DataFrame({"condition": grouped[CONDITION].first(), "n_wells": grouped.size()})
    return [
        {"name": name, "url": plate_url(name), **row}
        for name, row in zip(table.index, table.to_dict("records"), strict=True)
    ]


def examples(data: ExploreData) -> list[str]:
    """Names to begin with: treatments spread over the alphabet."""
    treated = data.index.treatments[treated_wells(data.index.treatments)]
    names = sorted(set(treated[NAME].dropna()))
    steps = np.linspace(0, len(names) - 1, min(EXAMPLES, len(names))).round().astype(int)
    return [names[step] for step in dict.fromkeys(steps.tolist())]


def plate(data: ExploreData, name: str, by: str, question: str) -> dict[str, Any] | None:
    """A plate's map; None where there is no such plate."""
    if name not in data.index.plates:
        return None
    chosen = by if by in data.columns else next(iter(data.columns))
    rows = np.flatnonzero((data.index.wells[PLATE] == name).to_numpy())
    wells = data.index.wells[WELL].iloc[rows]
    values, sentence = column_of(data, rows, chosen), ""
    if question.strip():
        try:
            questions = questions_of(question, data.index, data.embed_text)
            own = str(data.index.wells[CONDITION].iloc[rows[0]])
            asked = next((one for one in questions if one.condition == own), questions[0])
            vector = asked.vector[None]
            values = pd.Series(similarities(vector, data.index.profiles[rows])[0].astype(float))
            of_other = asked.condition not in ("", own)
            where = f" ({readable_condition(asked.condition)})" if of_other else ""
            chosen = f"similarity to {asked.label}{where}"
        except InputError as error:
            sentence = str(error)
    names = data.index.labels_of(rows)[NAME].fillna("")
    return {
        "plate": name,
        "by": chosen,
        "q": question,
        "sentence": sentence,
        "columns": data.columns,
        "map": plate_map(wells, values),
        "names": dict(zip(wells, names, strict=True)),
        "condition": data.index.wells[CONDITION].iloc[rows[0]],
        "urls": {well: well_url(name, well) for well in wells},
        "plates": plates(data),
    }


def well(data: ExploreData, plate_name: str, name: str) -> dict[str, Any] | None:
    """A well's sites and neighbours; None where there is no such well."""
    row = data.row_of.get((plate_name, name))
    if row is None:
        return None
    facts = data.index.labels_of(np.array([row])).to_dict("records")[0]
    questions = [question_of_rows(f"well: {plate_name} {name}", np.array([row]), data.index)]
    control = data.cells.control_beside(plate_name, name)
    return {
        "plate": plate_name,
        "well": name,
        "facts": _known(facts),
        "plate_url": plate_url(plate_name),
        "treatment_url": _own_treatment(data, row),
        "measured": _measured_of(data, plate_name, name),
        "sites": [site_address(key) for key in data.cells.of(plate_name, name)],
        "control": control,
        "control_url": well_url(plate_name, control) if control else "",
        "control_sites": [site_address(key) for key in data.cells.of(plate_name, control)[:1]]
        if control
        else [],
        "answers_here": _shown(data, questions[0], answers_to(data.index, questions, top_k=TOP)),
    }


def _measured_of(data: ExploreData, plate_name: str, name: str) -> list[tuple[str, float]]:
    if (plate_name, name) not in data.measured.index:
        return []
    row = data.measured.loc[(plate_name, name)].dropna()
    return [(str(column), float(value)) for column, value in row.items()]


def _own_treatment(data: ExploreData, row: int) -> str:
    facts = data.index.wells.iloc[row]
    known = data.index.is_treated[row] and isinstance(facts[BROAD_SAMPLE], str)
    return treatment_url(facts[MODALITY], facts[BROAD_SAMPLE]) if known else ""


def treatment(data: ExploreData, modality: str, sample: str) -> dict[str, Any] | None:
    """A treatment's wells, how alike they are, and what is like them."""
    rows = _rows_of(data, modality, sample)
    if not len(rows):
        return None
    facts = data.index.facts_of(rows[:1]).to_dict("records")[0]
    wells = data.index.labels_of(rows)
    questions = [
        question_of_rows(
            "this treatment", rows[(wells[CONDITION] == condition).to_numpy()], data.index
        )
        for condition in wells[CONDITION].unique()
    ]
    answers = answers_to(data.index, questions, top_k=TOP)
    return {
        "modality": modality,
        "sample": sample,
        "name": facts[NAME],
        "targets": facts[TARGETS],
        "mechanisms": facts[MECHANISMS],
        "wells": [_well_row(data, row) for row in wells.to_dict("records")],
        "replicability": [_replicability(data, question) for question in questions],
        "given": [_shown(data, question, answers) for question in questions],
    }


def _replicability(data: ExploreData, question: Question) -> dict[str, Any]:
    """Mean cosine between a treatment's wells, and between all controls of its condition."""
    code = int(data.index.condition_codes[question.rows[0]])
    controls = data.index.controls[code]
    return {
        "condition": question.condition,
        "n_wells": len(question.rows),
        "own": _mean_cosine(data.index.profiles[question.rows]),
        "of_controls": _mean_cosine(data.index.profiles[controls]),
    }


def _mean_cosine(vectors: np.ndarray) -> float | None:
    number = len(vectors)
    if number < 2:
        return None
    total = unit_rows(vectors.astype(np.float64)).sum(axis=0)
    return float((total @ total - number) / (number * (number - 1)))


def _rows_of(data: ExploreData, modality: str, sample: str) -> np.ndarray:
    table = data.index.treatments
    chosen = ((table[MODALITY] == modality) & (table[BROAD_SAMPLE] == sample)).to_numpy()
    return np.flatnonzero(chosen[data.index.treatment_of_well] & data.index.is_treated)


def picture(data: ExploreData, key: str, channel: str) -> bytes | None:
    """One channel of a site, all in colours, or the strip as it is; None where there is none."""
    if key not in data.cells.strips:
        return None
    return data.cells.picture(key, channel) if channel else data.cells.strips[key]()


def _known(facts: dict[str, Any]) -> dict[str, Any]:
    shown: Iterable[tuple[str, str]] = (
        (NAME, "name"), (GENE, "gene"), (CONDITION, "condition"), (SUBSET, "subset"),
        (QUALITY, "quality"), (BROAD_SAMPLE, "ID"),
    )  # fmt: skip
    return {
        words: readable_condition(facts[key]) if key == CONDITION else facts[key]
        for key, words in shown
        if isinstance(facts.get(key), str)
    }
