"""A question: a vector of the space, and what is known of where it comes from."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray


class Question(NamedTuple):
    """A vector of the space, and what is known of where it comes from.

    Attributes:
        label: What answers call it.
        vector: ``(E,)``, of unit length.
        targets: Genes that it acts on, or names.
        mechanisms: Mechanisms that it has, or names.
        rows: Wells that it is made of, which are no answers; none of words and vectors.
        condition: The condition of these wells; "" of words and vectors.
        entities: The treatment's entities, whose other IDs are no answers in its condition.
        few_cells: Whether half of its wells show few cells or none.
    """

    label: str
    vector: NDArray[np.floating]
    targets: tuple[str, ...] = ()
    mechanisms: tuple[str, ...] = ()
    rows: NDArray[np.int64] = np.empty(0, dtype=np.int64)
    condition: str = ""
    entities: frozenset[str] = frozenset()
    few_cells: bool = False


def shared_with(own: Sequence[str], entries: pd.Series) -> list[str | None]:
    """Of each tuple the names that are among one's own, ``A|B``; None where that is none."""
    mine = set(own)
    return ["|".join(name for name in names if name in mine) or None for names in entries]
