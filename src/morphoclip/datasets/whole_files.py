"""Kedro's datasets of single files, each written whole or not at all."""

import json
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
from kedro.utils import load_obj
from kedro_datasets.json import JSONDataset
from kedro_datasets.matplotlib import MatplotlibDataset
from kedro_datasets.pandas import CSVDataset, ParquetDataset
from kedro_datasets.text import TextDataset

from morphoclip.errors import InputError
from morphoclip.files import json_digest, shown_path, written_whole


class WholeFile:
    """Put before a dataset: its file is written beside and renamed.

    A run that is killed leaves the version before, or none, and never a file that cannot be read.
    """

    writes_whole = True
    _partial: PurePosixPath | None = None

    def _get_save_path(self) -> PurePosixPath:
        return self._partial or super()._get_save_path()  # type: ignore[misc]

    def save(self, data: Any) -> None:
        save: Any = super().save  # type: ignore[misc]
        with written_whole(Path(self._get_save_path())) as partial:
            self._partial = PurePosixPath(partial)
            try:
                save.__wrapped__(self, data)  # without Kedro's checks, which look for the version
            finally:
                self._partial = None


class ParquetFile(WholeFile, ParquetDataset):
    """A table. Its pages carry checksums, which are compared when it is read."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._save_args.setdefault("write_page_checksum", True)

    def load(self) -> pd.DataFrame:
        return pd.read_parquet(
            self._get_load_path(), page_checksum_verification=True, **self._load_args
        )


class CsvFile(WholeFile, CSVDataset):
    """A table as text."""


_CHECKSUM = "checksum"


class JsonFile(WholeFile, JSONDataset):
    """Numbers and text in nested dictionaries.

    The file has a checksum of its own content, which is compared when it is read. ``model`` names a
    pydantic model that what is loaded has to fulfil.
    """

    def __init__(self, *, model: str | None = None, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._model = model

    def save(self, data: dict[str, Any]) -> None:
        super().save(dict(data) | {_CHECKSUM: json_digest(data)})

    def load(self) -> Any:
        path = Path(self._get_load_path())
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            signed = found.pop(_CHECKSUM, None) if isinstance(found, dict) else None
            if signed is not None and signed != json_digest(found):
                raise ValueError("it is not what was written: its checksum is another")
            if self._model is not None:
                load_obj(self._model).model_validate(found)
        except ValueError as error:  # of json, of UTF-8 and of pydantic
            reason = " ".join(str(error).splitlines()[:3])
            raise InputError(
                f"{shown_path(path)} does not hold what it should ({reason}); delete it and run "
                "the pipeline that makes it"
            ) from error
        return found


class TextFile(WholeFile, TextDataset):
    """A text or a page."""


class FigureFile(WholeFile, MatplotlibDataset):
    """A figure as a picture."""
