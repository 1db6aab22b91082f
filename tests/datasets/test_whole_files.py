"""Datasets of single files: whole, checked, and previewed as Kedro's own."""

import json

import pandas as pd
import pytest
from kedro.io import DatasetError
from kedro.io.core import Version

from morphoclip.datasets.whole_files import JsonFile, ParquetFile, TextFile


def test_a_changed_character_of_a_record_is_noticed(tmp_path) -> None:
    path = tmp_path / "record.json"
    data = {"sha256": "of something else", "plates": ["P1", "P2"], "n": 0.1}
    JsonFile(filepath=str(path)).save(data)
    assert JsonFile(filepath=str(path)).load() == data
    path.write_text(path.read_text().replace("P2", "P3"))
    with pytest.raises(DatasetError, match="its checksum is another"):
        JsonFile(filepath=str(path)).load()


def test_a_record_of_before_checksums_is_read(tmp_path) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps({"a": 1}))
    assert JsonFile(filepath=str(path)).load() == {"a": 1}


def test_a_changed_number_of_a_table_is_noticed(tmp_path) -> None:
    path = tmp_path / "table.parquet"
    table = pd.DataFrame({"x": range(5000), "y": [f"well {n}" for n in range(5000)]})
    ParquetFile(filepath=str(path)).save(table)
    pd.testing.assert_frame_equal(ParquetFile(filepath=str(path)).load(), table)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"crc|CRC|checksum"):
        ParquetFile(filepath=str(path)).load()


def test_a_version_is_whole_or_not_there(tmp_path) -> None:
    path = tmp_path / "report.html"
    dataset = TextFile(filepath=str(path), version=Version(None, "2026-01-01T00.00.00.000Z"))
    with pytest.raises(DatasetError):
        dataset.save(b"no text")
    assert not dataset.exists()
    assert not list(tmp_path.rglob("*.partial"))
    dataset.save("text")
    assert dataset.load() == "text"
