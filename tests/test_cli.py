"""``kedro run`` as users type it, and what they read when they mistype."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pandas as pd
import pytest
from click.testing import CliRunner
from kedro.framework.startup import bootstrap_project
from kedro.io import AbstractDataset, DatasetError
from kedro.io.core import Version
from kedro.validation.exceptions import DataValidationError, ParameterValidationError
from kedro_datasets.pandas import CSVDataset, ParquetDataset
from project import PROJECT
from pydantic import ValidationError

import morphoclip.pipeline_registry  # noqa: F401 - explain() looks through all parameter models
from morphoclip.cli import cli, run
from morphoclip.cli.explain import explain
from morphoclip.datasets.partitions import Partitions
from morphoclip.datasets.unfinished import UnfinishedVersions
from morphoclip.datasets.whole_files import JsonFile
from morphoclip.device import resolve_device
from morphoclip.errors import InputError
from morphoclip.files import this_host
from morphoclip.gallery.source import IngestionConfig


def parsed(text: str) -> dict[str, object]:
    with run.make_context("run", ["--params", text]) as context:
        return context.params["params"]


@pytest.mark.parametrize(
    "text", ["model.ccf_layers:4", "model.ccf_layers=4", "model.ccf_layers: 4"]
)
def test_colon_and_equals_mean_the_same(text: str) -> None:
    assert parsed(text) == {"model": {"ccf_layers": 4}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("ingestion.source.root:/a/b", {"ingestion": {"source": {"root": "/a/b"}}}),
        ("ingestion.source.root:s3://b/c", {"ingestion": {"source": {"root": "s3://b/c"}}}),
        ("a.b=c:d", {"a": {"b": "c:d"}}),
        ("image_features.channels:DNA=4+ER=2", {"image_features": {"channels": "DNA=4+ER=2"}}),
        ("model.a:1,training.b=x", {"model": {"a": 1}, "training": {"b": "x"}}),
    ],
)
def test_only_the_first_separator_counts(text: str, value: dict[str, object]) -> None:
    assert parsed(text) == value


@pytest.mark.parametrize("text", ["0123", "12:30", "1_000", "010", "0x10"])
def test_what_yaml_would_make_another_number_of_stays_as_it_is_written(text: str) -> None:
    assert parsed(f"ingestion.plates:{text}") == {"ingestion": {"plates": text}}


def test_a_second_option_adds_to_the_first() -> None:
    given = ["--params", "splitting.seed:1", "--params", "splitting.val_fraction:0.2"]
    with run.make_context("run", given) as context:
        assert context.params["params"] == {"splitting": {"seed": 1, "val_fraction": 0.2}}


@pytest.mark.parametrize(
    "given", [["--params", "a.b:1,a.b:2"], ["--params", "a.b:1", "--params", "a.b=2"]]
)
def test_a_parameter_with_two_values_is_refused(given: list[str]) -> None:
    with pytest.raises(click.BadParameter, match=r"a\.b is given 2 times"):
        run.make_context("run", given)


def test_a_key_alone_is_kedros_own_error() -> None:
    with pytest.raises(click.UsageError, match="must contain a key and a value"):
        parsed("model")


def test_other_options_are_kedros() -> None:
    names = {param.name for param in cli.commands["run"].params}
    assert {"from_nodes", "env", "runner", "load_versions"} <= names


def test_a_users_mistake_is_found_below_what_kedro_wraps_it_in() -> None:
    wrapped = DatasetError("Failed while loading data")
    wrapped.__cause__ = InputError("the sentence")
    assert explain(wrapped) == "the sentence"
    assert explain(DatasetError("\nfirst line\nsecond")) == "first line"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("gs://bucket/x", 'opened by gcsfs, which is not installed: pip install "morphoclip[gs]"'),
        ("az://c/x", 'opened by adlfs, which is not installed: pip install "morphoclip[azure]"'),
        ("foo://x", "foo:// is no kind of address that fsspec opens"),
    ],
)
def test_addresses_that_nothing_here_opens(url: str, sentence: str) -> None:
    with pytest.raises(DatasetError) as caught:
        AbstractDataset.from_config("x", {"type": Partitions, "path": url, "dataset": CSVDataset})
    assert sentence in (explain(caught.value) or "")


def test_a_damaged_file_is_named_with_its_cause() -> None:
    damaged = DatasetError(
        "Failed while loading data from dataset X(filepath=PurePosixPath('a/b.pt'))"
    )
    damaged.__cause__ = EOFError("ran out of input")
    sentence = explain(damaged)
    assert sentence is not None
    assert sentence.startswith(
        "a/b.pt cannot be read (ran out of input). Where it was damaged, del"
    )


def test_values_of_a_list_split_by_a_comma_get_the_plus() -> None:
    with pytest.raises(click.BadParameter, match=r"ingestion\.plates:BR1\+BR2"):
        parsed("ingestion.plates:BR1,BR2")


def test_an_unknown_pipeline_gets_the_list() -> None:
    error = ValueError("Failed to find the pipeline named 'trainin'. It needs to be generated")
    sentence = explain(error)
    assert sentence is not None
    assert sentence.startswith("there is no pipeline trainin")


@pytest.mark.parametrize(("given", "means"), [("all", None), ("A+B", ("A", "B")), (5, ("5",))])
def test_plates_are_named_on_one_line(given: object, means: object) -> None:
    assert IngestionConfig(source={"root": "r", "batch": "b"}, plates=given).plates == means


@pytest.mark.parametrize("nothing", ["", None])
def test_no_plate_is_not_every_plate(nothing: object) -> None:
    with pytest.raises(ValidationError, match="write all, or names"):
        IngestionConfig(source={"root": "r", "batch": "b"}, plates=nothing)


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="device gpu is not there; there are auto, cpu"):
        resolve_device("gpu")


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    assert explain(ZeroDivisionError("division by zero")) is None
    assert explain(ValueError("cannot reshape")) is None


@pytest.mark.parametrize(
    "name", ["2,5-furandimethanol", "[3H]-thymidine", "!!!", "@x", "${HOME}", "5", "a: b", "x=y"]
)
def test_names_and_words_mean_themselves(name: str) -> None:
    given = parsed(f"find_similar.treatment:{name},find_similar.top_k:3")
    assert given["find_similar"]["top_k"] == 3
    assert given["find_similar"]["treatment"].replace("\\$", "$") == name


def test_what_is_no_yaml_is_refused_in_a_sentence() -> None:
    with pytest.raises(click.BadParameter, match="cannot be read as YAML"):
        parsed("model.ccf_layers:[1")


def test_prose_with_colons_stays_prose() -> None:
    given = parsed("find_similar.text:Target: A. Function: an inhibitor.,a.b:{c: 1}")
    assert given == {
        "find_similar": {"text": "Target: A. Function: an inhibitor."},
        "a": {"b": {"c": 1}},
    }
    given = parsed("training.nodes:2,training.rendezvous.address:[::1]:29400,training.epochs:3")
    address = {"address": "[::1]:29400"}
    assert given == {"training": {"nodes": 2, "epochs": 3, "rendezvous": address}}


def test_wrong_parameters_are_listed_without_pydantics_links() -> None:
    from morphoclip.splits.config import SplitConfig

    with pytest.raises(ValueError) as caught:  # noqa: PT011 - pydantic's own words are below
        SplitConfig.model_validate({"val_fraction": 0.9, "val_fracton": 1, "strategy": "x"})
    message = f"Parameter validation failed:\n- Parameter 'splitting': Failed: {caught.value}"
    sentence = explain(ParameterValidationError(message))
    assert sentence is not None
    assert sentence.startswith("3 wrong parameter(s): splitting.strategy: there is no strategy x")
    assert "splitting.val_fraction: Input should be less than 0.5 (given 0.9)" in sentence
    assert "val_fracton: there is no such parameter, did you mean val_fraction?" in sentence
    assert "http" not in sentence


def test_a_damaged_version_is_named_alone_and_the_others_stay(tmp_path) -> None:
    path = tmp_path / "model.pt"
    version = "2026-01-02T00.00.00.000Z"
    dataset = JsonFile(filepath=str(path), version=Version(version, version))
    dataset.save({"a": 1})
    (path / version / "model.pt").write_bytes(b"\xff\xfe")
    dataset = ParquetDataset(filepath=str(path), version=Version(version, version))
    with pytest.raises(DatasetError) as caught:
        dataset.load()
    sentence = explain(caught.value)
    assert sentence is not None
    assert f"version {version} of {path} cannot be read" in sentence
    assert f"delete the folder of this version alone, {path}/{version}" in sentence


def test_a_file_that_cannot_be_written_is_not_called_damaged(tmp_path) -> None:
    (tmp_path / "table.csv").mkdir()
    dataset = CSVDataset(filepath=str(tmp_path / "table.csv"))
    with pytest.raises(DatasetError) as caught:
        dataset.save(pd.DataFrame({"a": [1]}))
    sentence = explain(caught.value) or ""
    assert "could not be written" in sentence
    assert "delete" not in sentence


def test_programs_beside_this_python_are_found_without_an_activated_environment() -> None:
    command = "import morphoclip.settings, shutil; print(shutil.which('mlflow'))"
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, "-c", command], env=bare, cwd=PROJECT, capture_output=True, text=True
    )
    assert done.stdout.strip().endswith("/mlflow"), done.stderr


def test_what_killed_runs_left_half_written_is_named_and_removed(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MORPHOCLIP_DATA", str(tmp_path))
    data, version = tmp_path / "demo", "2026-01-01T00.00.00.000Z"
    for name in ("whole", "torn"):
        (data / name / version).mkdir(parents=True)
        (data / name / version / name).touch()
    note = UnfinishedVersions(data).begin("training.train_model", version, ("torn", "other"))
    partial = data / f".table.csv.{this_host()}.{2**22 - 1}.partial"
    partial.touch()
    said = CliRunner().invoke(cli, ["prune"]).output
    assert "0 version(s) and 1 file(s) that killed runs" in said, "this process may be writing it"
    note.write_text(note.read_text().replace(f'"pid": {os.getpid()}', f'"pid": {2**22 - 1}'))
    said = CliRunner().invoke(cli, ["prune"]).output
    assert "1 version(s) and 1 file(s) that killed runs left half written" in said
    assert f"half written: {data / 'torn' / version}" in said.replace("\n", "")
    CliRunner().invoke(cli, ["prune", "--yes"])
    assert [str(path.relative_to(data)) for path in data.rglob("*") if path.is_file()] == [
        f"whole/{version}/whole"
    ]


def test_old_versions_are_pruned_and_the_newest_stay(tmp_path, monkeypatch) -> None:
    for name in ("model.pt", "report.html"):
        for second in range(4):
            version = tmp_path / f"demo/08_reporting/{name}/2026-11-22T10.00.0{second}.000Z"
            version.mkdir(parents=True)
            (version / name).write_text("x" * 1000)
    for number in range(5):
        training = tmp_path / f"demo/06_models/checkpoints/{number}"
        training.mkdir(parents=True)
        (training / "run.json").write_text("{}")
        os.utime(training / "run.json", (number, number))
    monkeypatch.setenv("MORPHOCLIP_DATA", str(tmp_path))
    said = CliRunner().invoke(cli, ["prune", "--keep", "3"]).output
    assert "2 old version(s), the checkpoints of 2 old training(s), 0 version(s) and 0" in said
    assert len(list(tmp_path.rglob("2026*"))) == 8
    said = CliRunner().invoke(cli, ["prune", "--keep", "1", "--yes"]).output
    assert "6 old version(s), the checkpoints of 4 old training(s), 0 version(s) and 0" in said
    assert [path.name for path in (tmp_path / "demo/06_models/checkpoints").iterdir()] == ["4"]
    assert [path.name for path in sorted(tmp_path.rglob("2026*"))] == [
        "2026-11-22T10.00.03.000Z"
    ] * 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "look_up.words:Target: HDAC1. Function: HDAC inhibitor.",
            "the parameter look_up.words is now called find_similar.text",
        ),
        ("look_up.seed:1", "the parameter look_up is now called find_similar"),
        ("evaluation.n_answers:3", "the parameter evaluation.n_answers is now called"),
    ],
)
def test_an_old_parameter_is_answered_with_its_new_name(given: str, message: str) -> None:
    with pytest.raises(click.BadParameter, match=message):
        parsed(given)


def test_a_question_about_a_treatment_imports_nothing_heavy() -> None:
    code = (
        "import sys, morphoclip.pipelines.find_similar;"
        "print(sorted({'torch', 'mlflow', 'sklearn', 'copairs', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_table_of_an_older_version_is_made_again() -> None:
    bootstrap_project(PROJECT)
    cause = DataValidationError(
        "Validation failed for dataset 'well_index' on load (validator: x): "
        "column 'Metadata_source' not in dataframe. Columns in dataframe: ['a']"
    )
    sentence = explain(cause)
    assert sentence is not None
    assert sentence.startswith("the table well_index on disk lacks the column Metadata_source")
    assert "kedro run --pipeline ingestion" in sentence


@pytest.mark.parametrize(
    ("given", "means"),
    [("", "None"), ("  ", "None"), ("~/x", str(Path.home() / "x")), ("a", "a")],
)
def test_a_blank_data_folder_is_none_and_a_tilde_is_home(given: str, means: str) -> None:
    code = "import os, morphoclip.settings; print(os.environ.get('MORPHOCLIP_DATA'))"
    environment = os.environ | {"MORPHOCLIP_DATA": given}
    said = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == means
