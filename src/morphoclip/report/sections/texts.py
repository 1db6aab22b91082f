"""What the prompts say."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from morphoclip.columns import PROMPT
from morphoclip.report.rendering import Section, render


def texts_section(prompts: pd.DataFrame, prompt_summary: Mapping[str, Any]) -> Section:
    """Level and context of the prompts, what they lack, and the longest of them."""
    longest = prompts.loc[prompts[PROMPT].str.len().idxmax(), PROMPT]
    return Section("Texts", render("texts", summary=prompt_summary, longest=str(longest)))
