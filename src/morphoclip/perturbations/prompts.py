"""The only place that writes prompts.

A clause whose field is missing is left out: no prompt says "unknown". No prompt holds an ID, a
plate, a well or a barcode.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from morphoclip.columns import (
    BROAD_SAMPLE,
    CELL_TYPE,
    DESCRIPTION,
    FUNCTION,
    GENE,
    MODALITY,
    PERT_INAME,
    PROMPT,
    PROMPT_DIGEST,
    ROLE,
    TIMEPOINT,
    Modality,
    Role,
)
from morphoclip.errors import InputError
from morphoclip.perturbations.wording import FIELDS, Context, PromptTemplates, TextLevel, fields_of
from morphoclip.schemas.features import PROMPTS

_MOST_CHARACTERS = 32_000
_SAYS_NOTHING = re.compile(r"\b(unknown|nan|none|n/a)\b", re.IGNORECASE)


def prompt_of(
    perturbation: Mapping[str, Any],
    level: TextLevel,
    templates: PromptTemplates,
    context: tuple[Context, ...] = (),
) -> str:
    """The prompt of one perturbation, in one context; its description, where it has one.

    Args:
        perturbation: A row of the table of perturbations, with the context's columns.
        level: How much the prompt contains.
        templates: The wording.
        context: Facts about the experiment, at the end.

    Raises:
        InputError: Every field is missing that the name needs.
    """
    wording = templates.of(Modality(perturbation[MODALITY]))
    description = perturbation.get(DESCRIPTION)
    if isinstance(description, str):
        clauses = [description]
    elif perturbation[ROLE] == Role.NEGCON:
        clauses = [wording.negative_control]
    else:
        clauses = _filled(wording.up_to(level), perturbation)
        if not _filled(wording.name_only, perturbation):
            raise InputError(
                f"{perturbation[MODALITY]} {perturbation[BROAD_SAMPLE]} has nothing to be called "
                f"by: prompt_templates.{perturbation[MODALITY]}.name_only asks for "
                f"{' '.join(wording.name_only)}"
            )
    clauses += _filled([getattr(templates, name) for name in context], perturbation)
    return " ".join(" ".join(clauses).split())


def _filled(clauses: Sequence[str], perturbation: Mapping[str, Any]) -> list[str]:
    """Clauses all of whose fields are known; none ends in two full stops."""
    filled = []
    for clause in clauses:
        values = {name: _known(perturbation.get(FIELDS[name])) for name in fields_of(clause)}
        if all(values.values()):
            filled.append(re.sub(r"\.\.+$", ".", clause.format_map(values)))
    return filled


def _known(value: Any) -> str | None:
    """The value as text, or None where it is missing or means "unknown"."""
    if value is None or pd.isna(value) or _SAYS_NOTHING.fullmatch(str(value).strip()):
        return None
    return ", ".join(str(value).strip().split("|")) or None


def prompt_digest(prompt: str) -> str:
    """SHA-256 of the text, by which text features are found."""
    return hashlib.sha256(prompt.encode()).hexdigest()


def prompt_table(
    perturbations: pd.DataFrame,
    wells: pd.DataFrame,
    level: TextLevel,
    templates: PromptTemplates,
    context: tuple[Context, ...] = (),
) -> pd.DataFrame:
    """One prompt per perturbation and context; perturbations with the same text share a digest.

    Raises:
        InputError: A context is missing for some plate, or a prompt would hold an ID.
    """
    rows = perturbations.assign(**{CELL_TYPE: None, TIMEPOINT: None})
    if context:
        rows = perturbations.merge(_contexts(wells, context), on=[MODALITY, BROAD_SAMPLE])
    prompts = [prompt_of(row, level, templates, context) for row in rows.to_dict("records")]
    longest = max(prompts, key=len, default="")
    if len(longest) > _MOST_CHARACTERS:
        raise InputError(
            f"{sum(len(prompt) > _MOST_CHARACTERS for prompt in prompts)} prompt(s) have more than "
            f"{_MOST_CHARACTERS:,} characters, one {len(longest):,}: {longest[:40]!r}...; no model "
            "reads as much: shorten the description, name or function in the table"
        )
    table = rows.assign(
        **{PROMPT: prompts, PROMPT_DIGEST: [prompt_digest(prompt) for prompt in prompts]}
    )
    _refuse_identifiers(table, wells)
    return table[list(PROMPTS.columns)]


def prompt_summary(
    perturbations: pd.DataFrame, level: TextLevel, context: tuple[Context, ...]
) -> dict[str, Any]:
    """Level and context of the prompts, and how many treatments have no known function."""
    treatments = perturbations[perturbations[ROLE] != Role.NEGCON]
    return {
        "level": str(level),
        "context": list(context),
        "n_treatments": len(treatments),
        "n_without_function": int(treatments[FUNCTION].isna().sum()),
    }


def _contexts(wells: pd.DataFrame, context: tuple[Context, ...]) -> pd.DataFrame:
    """The contexts that each perturbation's wells have."""
    columns = [FIELDS[name] for name in context]
    described = wells[wells[BROAD_SAMPLE].notna()]
    lacking = described[described[columns].isna().any(axis=1)]
    if len(lacking):
        raise InputError(
            f"text_features.context names {', '.join(context)}, which {len(lacking)} wells lack; "
            "ingestion.source.experiment_metadata names the table that has it"
        )
    other = {CELL_TYPE: None, TIMEPOINT: None}
    contexts = described[[MODALITY, BROAD_SAMPLE, *columns]].drop_duplicates()
    return contexts.assign(**{name: value for name, value in other.items() if name not in columns})


def _refuse_identifiers(table: pd.DataFrame, wells: pd.DataFrame) -> None:
    """No prompt may contain a barcode, or the ID of its sample unless that is what it is called."""
    plates = set(wells["Metadata_Plate"].unique())
    names = table[[PERT_INAME, GENE]].itertuples(index=False, name=None)
    for sample, prompt, called in zip(table[BROAD_SAMPLE], table[PROMPT], names, strict=True):
        is_name = sample == "DMSO" or sample in called
        held = [
            word
            for word in re.findall(r"[\w-]+", prompt)
            if word in plates or (word == sample and not is_name)
        ]
        if held:
            raise InputError(
                f"the prompt {prompt!r} holds {held[0]}, which names a plate or a sample and not "
                "what was done: give the perturbation a name in its table"
            )


def text_by_digest(prompts: pd.DataFrame) -> pd.Series:
    """Digest of each distinct prompt -> its text."""
    return prompts.drop_duplicates(PROMPT_DIGEST).set_index(PROMPT_DIGEST)[PROMPT]


def digests_of(wells: pd.DataFrame, prompts: pd.DataFrame) -> pd.Series:
    """Digest of the prompt of each well, NA where it has none; in the order of ``wells``."""
    keys = [MODALITY, BROAD_SAMPLE]
    keys += [column for column in (CELL_TYPE, TIMEPOINT) if prompts[column].notna().any()]
    digests = prompts.set_index(keys)[PROMPT_DIGEST]
    return pd.Series(
        digests.reindex(pd.MultiIndex.from_frame(wells[keys])).to_numpy(), index=wells.index
    )
