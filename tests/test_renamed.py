"""Old names are gone, new ones are there, and a command with an old name gives the new one."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from kedro.framework.project import pipelines
from kedro.framework.startup import bootstrap_project
from project import PROJECT, Workspace
from pydantic import BaseModel

from morphoclip.cli import cli
from morphoclip.renamed import DATASETS, NODES, PARAMETERS, PIPELINES, renamed


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    return Workspace(tmp_path_factory.mktemp("renamed")).context()


@pytest.fixture
def kedro_run(tmp_path: Path, monkeypatch):
    """``kedro run`` in this project, which writes elsewhere if it writes at all."""
    bootstrap_project(PROJECT)
    monkeypatch.chdir(PROJECT)
    monkeypatch.setenv("MORPHOCLIP_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    return lambda *arguments: CliRunner().invoke(cli, ["run", *arguments])


@pytest.fixture
def handed_on(kedro_run, monkeypatch):
    """The options that Kedro's own command gets from ``kedro run``, which then runs nothing."""
    options: dict[str, object] = {}
    module = sys.modules["morphoclip.cli.run"]
    monkeypatch.setattr(module, "kedro_command", lambda **given: options.update(given))

    def invoke(*arguments: str) -> dict[str, object]:
        result = kedro_run(*arguments)
        assert result.exit_code == 0, result.output
        return options

    return invoke


def node_names() -> set[str]:
    """Without their pipeline."""
    pipelines.set_requested(None)
    return {node.name.rsplit(".", 1)[-1] for p in pipelines.values() for node in p.nodes}


@pytest.mark.usefixtures("context")
def test_no_old_pipeline_is_left_and_every_new_one_is_there() -> None:
    pipelines.set_requested(None)
    assert set(PIPELINES) & set(pipelines) == set()
    assert set(PIPELINES.values()) - set(pipelines) == set()


def test_no_old_catalog_entry_is_left_and_every_new_one_is_there(context) -> None:
    pipelines.set_requested(None)
    entries = {n for n in context.config_loader["catalog"] if not n.startswith("_")}
    in_memory = {n.split("@")[0] for p in pipelines.values() for n in p.datasets()}
    assert set(DATASETS) & (entries | in_memory) == set()
    assert set(DATASETS.values()) - (entries | in_memory) == set()


@pytest.mark.usefixtures("context")
def test_no_old_node_is_left_and_every_new_one_is_there() -> None:
    names = node_names()
    assert set(NODES) & names == set()
    assert set(NODES.values()) - names == set()


def test_no_old_parameter_is_left_and_every_new_one_is_there(context) -> None:
    parameters = set(context.params)
    for group, model in context.params.items():
        assert isinstance(model, BaseModel)
        parameters |= {f"{group}.{field}" for field in type(model).model_fields}
    assert set(PARAMETERS) & parameters == set()
    assert set(PARAMETERS.values()) - parameters == set()


@pytest.mark.parametrize("names", [PIPELINES, DATASETS, NODES, PARAMETERS])
def test_a_new_name_is_never_an_old_one(names: dict[str, str]) -> None:
    assert set(names) & set(names.values()) == set()


def test_the_sentence_names_both() -> None:
    assert renamed("node", "look_up", NODES) == "the node look_up is now called find_similar"


def test_an_old_pipeline_is_answered_with_the_new_name(kedro_run) -> None:
    result = kedro_run("--pipeline", "look_up")
    assert result.exit_code == 1
    assert result.output.endswith("Error: the pipeline look_up is now called find_similar\n")


@pytest.mark.parametrize("option", ["--nodes", "--from-nodes", "--to-nodes"])
@pytest.mark.parametrize("old", NODES)
def test_an_old_node_is_answered_with_the_new_name(kedro_run, option: str, old: str) -> None:
    result = kedro_run(option, f"train_model,{old}")
    assert result.exit_code == 1
    assert result.output == f"Error: the node {old} is now called {NODES[old]}\n"


@pytest.mark.parametrize("option", ["--from-inputs", "--to-outputs"])
@pytest.mark.parametrize("old", ["profiles", "look_alikes", "split_check"])
def test_an_old_catalog_entry_is_answered_with_the_new_name(
    kedro_run, option: str, old: str
) -> None:
    result = kedro_run(option, f"well_index,{old}")
    assert result.exit_code == 1
    assert result.output == f"Error: the catalog entry {old} is now called {DATASETS[old]}\n"


def test_an_old_catalog_entry_with_a_version_is_answered_with_the_new_name(kedro_run) -> None:
    result = kedro_run("--load-versions", "profiles:2026-11-22T10.00.00.000Z")
    assert result.exit_code == 1
    assert result.output == "Error: the catalog entry profiles is now called well_profiles\n"


@pytest.mark.parametrize(
    ("option", "key"),
    [("--nodes", "node_names"), ("--from-nodes", "from_nodes"), ("--to-nodes", "to_nodes")],
)
def test_a_nodes_name_is_enough_without_its_pipeline(handed_on, option: str, key: str) -> None:
    options = handed_on(option, "train_model,evaluation.score_matching,write_report,unheard_of")
    assert options[key] == [
        "training.train_model",
        "evaluation.score_matching",
        "evaluation.report.write_report",
        "unheard_of",
    ]
    others = {"node_names", "from_nodes", "to_nodes"} - {key}
    assert [options[other] for other in others] == [[], []]


def test_a_node_is_looked_for_in_the_pipelines_that_are_asked_for(handed_on) -> None:
    options = handed_on(
        "--pipelines", "find_similar,training", "--nodes", "find_similar,read_profiles"
    )
    assert options["node_names"] == ["find_similar.find_similar", "read_profiles"]


def test_one_pipeline_is_handed_on_as_a_list_and_nothing_else_is_changed(handed_on) -> None:
    options = handed_on("--pipeline", "training", "--to-outputs", "well_profiles")
    assert options["pipelines"] == ["training"]
    assert options["pipeline"] is None
    assert list(options["to_outputs"]) == ["well_profiles"]
    assert not any(options[key] for key in ("node_names", "from_nodes", "to_nodes"))
