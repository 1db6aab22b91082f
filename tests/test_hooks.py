"""What stops a run before it starts, and what MLflow is told."""

import sqlite3
import subprocess
import sys
from contextlib import closing

import mlflow
import pytest
from project import PROJECT, Workspace

from morphoclip.datasets.epoch_log import EpochLog
from morphoclip.errors import InputError
from morphoclip.hooks.run import _refuse_paths_in_files
from morphoclip.hooks.tracking import _flatten


def test_missing_inputs_are_all_named_with_the_pipeline_that_makes_them(tmp_path) -> None:
    workspace = Workspace(tmp_path)
    with pytest.raises(InputError) as caught:
        workspace.run("training")
    for words in (
        "environment test lacks",
        "plate_features (packed features of each plate, made by kedro run --pipeline image_fea",
        "split_manifest (the subset of every well, made by kedro run --pipeline splitting)",
    ):
        assert words in str(caught.value)
    assert "make demo" not in str(caught.value), "each of them says which pipeline makes it"
    assert not workspace.mlflow().search_runs(["1"]), "a run that never started is not logged"


def test_without_raw_data_the_places_are_named(tmp_path) -> None:
    with pytest.raises(
        InputError, match=r"barcode_platemap \(which platemap each plate has\) at .* `make demo`"
    ):
        Workspace(tmp_path).run("ingestion")


def test_a_parameter_group_that_nothing_reads_is_refused(tmp_path) -> None:
    with pytest.raises(
        InputError, match="names modle, which no pipeline reads; did you mean model"
    ):
        Workspace(tmp_path).run("splitting", modle={"ccf_layers": 4})


def test_an_old_parameter_group_is_answered_with_its_new_name(tmp_path) -> None:
    with pytest.raises(InputError, match="parameter group look_up is now called find_similar"):
        Workspace(tmp_path).run("splitting", look_up={"treatment": "HDAC1"})


@pytest.mark.parametrize(
    ("group", "field"), [("check_split", "path"), ("gene_annotations", "hgnc")]
)
def test_a_path_in_a_parameter_file_is_refused_where_nobody_would_read_it(group, field) -> None:
    written = {group: {field: "mine.csv"}}
    with pytest.raises(InputError, match=rf"{group}\.{field} is set in a parameter file"):
        _refuse_paths_in_files({}, written)
    _refuse_paths_in_files(written, written)


@pytest.fixture(scope="module")
def ready(tmp_path_factory) -> Workspace:
    """Everything before training."""
    workspace = Workspace(tmp_path_factory.mktemp("hooks"))
    workspace.run("demo_gallery")
    workspace.run("ingestion", "image_features", "text_features", "splitting")
    return workspace


def newest_run(workspace: Workspace) -> mlflow.entities.Run:
    return workspace.mlflow().search_runs(["1"], order_by=["attributes.start_time DESC"])[0]


def test_a_failed_run_is_marked_and_keeps_its_best_checkpoint(ready, monkeypatch) -> None:
    def fail_in_epoch_2(_: EpochLog, epoch: int, __: object) -> None:
        if epoch == 2:
            raise RuntimeError("the power went")

    monkeypatch.setattr(EpochLog, "__call__", fail_in_epoch_2)
    with pytest.raises(RuntimeError, match="the power went"):
        ready.run("training")
    run = newest_run(ready)
    assert run.info.status == "FAILED"
    assert mlflow.active_run() is None
    (folder,) = ready.mlflow().list_artifacts(run.info.run_id, "checkpoints")
    (checkpoint,) = ready.mlflow().list_artifacts(run.info.run_id, folder.path)
    assert checkpoint.path.endswith("best.pt")


def test_a_model_is_not_evaluated_on_another_split(ready) -> None:
    ready.run("training", training={"epochs": 1})
    ready.run("splitting", splitting={"seed": 5})
    with pytest.raises(InputError, match="was trained on split manifest"):
        ready.run("evaluation")


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("/home/x/gallery", ".../gallery"),
        ("file:///home/x/gallery", ".../gallery"),
        ("s3://key:secret@bucket/a", "s3://bucket/a"),
        ("s3://bucket/a", "s3://bucket/a"),
        ("data/demo", "data/demo"),
    ],
)
def test_paths_of_somebodys_disk_and_keys_are_not_kept(place: str, shown: str) -> None:
    assert dict(_flatten("a", {"root": place, "n": 3})) == {"a.root": shown, "a.n": 3}


def test_nothing_in_mlflow_names_a_path(ready) -> None:
    ready.run("training", training={"epochs": 1})
    run = newest_run(ready)
    kept = [*run.data.params.values(), *run.data.tags.values()]
    assert not [value for value in kept if str(ready.folder) in value or str(PROJECT) in value]


def test_a_run_that_was_killed_is_marked_by_the_next_one(ready) -> None:
    ready.run("training", training={"epochs": 1})
    killed = newest_run(ready).info.run_id
    client = ready.mlflow()
    client.update_run(killed, status="RUNNING")
    ready.run("training", training={"epochs": 1})
    assert client.get_run(killed).info.status == "RUNNING", "its process, this one, lives"
    client.update_run(killed, status="RUNNING")
    client.set_tag(killed, "pid", 2**22 - 1)
    ready.run("training", training={"epochs": 1})
    assert client.get_run(killed).info.status == "KILLED"


def test_parameters_that_a_pipeline_does_not_read_are_refused(tmp_path) -> None:
    with pytest.raises(
        InputError, match="names ingestion, which this pipeline does not read; it r"
    ):
        Workspace(tmp_path).run("training", ingestion={"plates": "P"})


def test_a_model_is_not_evaluated_on_other_words(ready) -> None:
    ready.run("text_features", "splitting", "training", training={"epochs": 1})
    with pytest.raises(InputError, match="other sites or other prompts"):
        ready.run("text_features", "evaluation", text_features={"level": "name_only"})
    ready.run("text_features")


@pytest.mark.slow
def test_two_first_runs_at_once_share_one_database(tmp_path) -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from pathlib import Path\n"
        "from project import PROJECT, Workspace\n"
        f"Workspace(Path({str(tmp_path)!r})).context()\n"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(2)
    ]
    for process in started:
        _, errors = process.communicate()
        assert process.returncode == 0, errors.decode()[-2000:]
    assert (tmp_path / "mlflow.db").exists()


@pytest.mark.parametrize("damage", ["cut", "text", "locked"])
def test_a_database_that_cannot_be_used_is_told_before_the_run(tmp_path, damage: str) -> None:
    workspace = Workspace(tmp_path)
    workspace.mlflow().search_experiments()
    path = tmp_path / "mlflow.db"
    content = path.read_bytes()
    with closing(sqlite3.connect(path)) as other:
        if damage == "cut":
            path.write_bytes(content[: len(content) // 2])
        elif damage == "text":
            path.write_text("no database\n" * 400)
        else:
            other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(InputError, match=r"MLflow's database .*mlflow\.db cannot be used \("):
            workspace.run("splitting")


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("http://user:secret@127.0.0.1:9", r"http://127\.0\.0\.1:9 does not answer \("),
        ("nonsense://x", "which MLflow does not know"),
    ],
)
def test_a_server_that_does_not_answer_is_told_at_once(tmp_path, uri: str, message: str) -> None:
    workspace = Workspace(tmp_path)
    workspace.tracking_uri = uri
    with pytest.raises(InputError, match=message):
        workspace.run("splitting")
