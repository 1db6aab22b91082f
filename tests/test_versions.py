"""Versions: a run reads what it wrote, and nothing that a killed run left half written."""

import logging
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from kedro.framework.hooks.manager import _create_hook_manager, _register_hooks
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner

from morphoclip.datasets.unfinished import UnfinishedVersions
from morphoclip.errors import InputError
from morphoclip.files import this_host
from morphoclip.hooks.versions import PinVersions
from morphoclip.owner import Owner

OLD, MIDDLE, NEW = (f"2026-01-0{day}T00.00.00.000Z" for day in (1, 2, 3))


def catalog_of(folder: Path, version: str, load: dict[str, str] | None = None) -> DataCatalog:
    entries = {
        name: {
            "type": f"morphoclip.datasets.whole_files.{kind}",
            "filepath": str(folder / f"{name}.{ending}"),
            "versioned": True,
        }
        for name, kind, ending in (
            ("model", "JsonFile", "json"),
            ("history", "ParquetFile", "parquet"),
            ("report", "TextFile", "txt"),
        )
    }
    return DataCatalog.from_config(entries, save_version=version, load_versions=load or {})


def train(marker: str):
    return lambda: ({"run": marker}, pd.DataFrame({"run": [marker]}))


def report(model, history) -> str:
    return f"{model['run']} {history['run'].iloc[0]}"


def pipeline(marker: str, *parts: str) -> Pipeline:
    nodes = {
        "train": Node(train(marker), None, ["model", "history"], name="train"),
        "report": Node(report, ["model", "history"], "report", name="report"),
    }
    return Pipeline([nodes[part] for part in parts])


def run(folder: Path, version: str, what: Pipeline, load: dict[str, str] | None = None) -> str:
    catalog = catalog_of(folder, version, load)
    hooks = PinVersions()
    context = SimpleNamespace(project_path=folder, config_loader={"globals": {"data": "."}})
    hooks.after_context_created(context)
    hooks.before_pipeline_run({"load_versions": load}, what, catalog)
    manager = _create_hook_manager()
    _register_hooks(manager, [hooks])
    SequentialRunner().run(what, catalog, hook_manager=manager)
    return catalog.load("report") if "report" in what.all_outputs() else ""


def stop_at(monkeypatch, name: str) -> None:
    """A process that ends as this entry is to be saved; nothing is tidied up."""
    from morphoclip.datasets import whole_files

    def killed(self, data) -> None:
        if self._filepath.stem == name:
            raise KeyboardInterrupt
        return whole_files.WholeFile.save(self, data)

    monkeypatch.setattr(whole_files.ParquetFile, "save", killed)


def test_a_run_reports_its_own_model_though_another_ends_meanwhile(tmp_path) -> None:
    """The long run starts first; a shorter one, started later, ends before the long one reads."""

    def long_training():
        assert run(tmp_path, NEW, pipeline("short", "train", "report")) == "short short"
        return train("long")()

    long = Pipeline(
        [
            Node(long_training, None, ["model", "history"], name="train"),
            Node(report, ["model", "history"], "report", name="report"),
        ]
    )
    assert run(tmp_path, OLD, long) == "long long"


def test_what_a_killed_run_wrote_half_is_not_read(tmp_path, monkeypatch, caplog) -> None:
    run(tmp_path, OLD, pipeline("old", "train"))
    with monkeypatch.context() as patch:
        stop_at(patch, "history")
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, NEW, pipeline("new", "train"))
    assert (tmp_path / "model.json" / NEW / "model.json").exists()
    assert run(tmp_path, NEW[:-2] + "1Z", pipeline("", "report")) == "old old"
    assert f"version {NEW} of model is not whole" in caplog.text
    noted = UnfinishedVersions(tmp_path).all()
    assert [one.version for one in noted.values()] == [NEW]
    assert [folder.parent.name for one in noted.values() for folder in one.folders(tmp_path)] == [
        "model.json"
    ]


def test_an_only_version_that_is_half_written_is_refused(tmp_path, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, "history")
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, NEW, pipeline("new", "train"))
    with pytest.raises(InputError, match=rf"version {NEW} of model is not whole .* kedro prune"):
        run(tmp_path, NEW[:-2] + "1Z", pipeline("", "report"))


def test_a_whole_version_leaves_no_note(tmp_path) -> None:
    run(tmp_path, OLD, pipeline("old", "train", "report"))
    assert not UnfinishedVersions(tmp_path).all()


def test_a_version_that_the_user_names_brings_what_was_written_with_it(tmp_path) -> None:
    run(tmp_path, OLD, pipeline("old", "train"))
    run(tmp_path, MIDDLE, pipeline("middle", "train"))
    assert run(tmp_path, NEW, pipeline("", "report"), load={"model": OLD}) == "old old"


def test_a_clock_that_jumped_back_names_versions_after_those_that_are_there(
    tmp_path, caplog
) -> None:
    run(tmp_path, NEW, pipeline("first", "train"))
    with caplog.at_level(logging.WARNING):
        assert run(tmp_path, OLD, pipeline("second", "train", "report")) == "second second"
    assert "clock" in caplog.text
    assert run(tmp_path, MIDDLE, pipeline("", "report")) == "second second"


def test_an_owner_of_this_machine_is_known_to_be_gone() -> None:
    assert not Owner.this_run().is_gone
    assert not Owner("another-machine", 2**22 - 1, "").is_gone
    assert Owner(this_host(), 2**22 - 1, "").is_gone
