"""The kinds of column that the tables are made of."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from morphoclip.columns import EMBEDDING_PREFIX
from morphoclip.errors import InputError


def text(*, nullable: bool = False, among: type[StrEnum] | None = None) -> pa.Column:
    """Text; of a closed set of values with ``among``."""
    checks = [pa.Check.isin([str(member) for member in among])] if among else []
    return pa.Column(str, checks=checks, nullable=nullable)


def count() -> pa.Column:
    """A number of things: an integer from 0."""
    return pa.Column(int, checks=pa.Check.ge(0))


def number(*, nullable: bool = False) -> pa.Column:
    """A measurement, float64."""
    return pa.Column(float, nullable=nullable)


def table(columns: dict[str, pa.Column], *, unique: list[str] | None = None) -> pa.DataFrameSchema:
    """A table of exactly these columns in this order; ``unique`` columns identify a row."""
    return pa.DataFrameSchema(columns, strict=True, ordered=True, coerce=True, unique=unique)


class ByPlate:
    """A validator of tables by plate, as they are saved, and of one table, as they are loaded."""

    def __init__(self, schema: pa.DataFrameSchema) -> None:
        self._schema = schema

    def validate(self, data: Any) -> Any:
        """The tables with their types coerced.

        Raises:
            pandera.errors.SchemaError, SchemaErrors: A column or a value is wrong.
        """
        if isinstance(data, Mapping):
            return {plate: self._schema.validate(rows) for plate, rows in data.items()}
        return None if data is None else self._schema.validate(data)


class WithEmbedding:
    """A validator of metadata columns followed by ``embedding_*`` columns, float32 and finite."""

    def __init__(self, metadata: pa.DataFrameSchema) -> None:
        self._metadata = metadata

    def validate(self, data: pd.DataFrame) -> pd.DataFrame:
        """The table with the types of its metadata coerced.

        Raises:
            pandera.errors.SchemaError, SchemaErrors: A metadata column or value is wrong.
            InputError: There is no embedding, or a number of it is not finite.
        """
        is_embedding = data.columns.astype("str").str.startswith(EMBEDDING_PREFIX)
        embedding = data.loc[:, is_embedding]
        if not all(dtype.kind in "fiu" for dtype in embedding.dtypes):
            embedding = embedding.apply(pd.to_numeric, errors="coerce")
        with np.errstate(over="ignore"):
            embedding = embedding.astype(np.float32)
        if not is_embedding.any() or not np.isfinite(embedding.to_numpy()).all():
            raise InputError(
                f"a table of {len(data)} rows has {is_embedding.sum()} {EMBEDDING_PREFIX}* "
                "columns, and needs at least one and finite numbers in all of them; make it again"
            )
        metadata = self._metadata.validate(data.loc[:, ~is_embedding])
        return pd.concat([metadata, embedding], axis=1)
