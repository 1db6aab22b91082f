"""``kedro doctor``: a state, a sentence and a fix for each thing a run needs."""

from types import SimpleNamespace
from typing import Any

import pytest
from faulty_server import BUCKET
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from project import Workspace
from s3_server import serving

from morphoclip.cli import machine_check
from morphoclip.cli.machine_check import Finding, data_folder, findings, weights_of

HUB = "https://huggingface.co"


def looked_at(workspace: Workspace, **source: str) -> dict[str, Finding]:
    with workspace._environment(), workspace._session({"ingestion": {"source": source}}) as session:
        context = session.load_context()
        found = findings(context.config_loader, context.params, context.project_path)
        return {one.what: one for one in found}


def of_hub(error: Exception | None) -> Finding:
    def ask(_: str) -> None:
        if error is not None:
            raise error

    return machine_check.of_hub("image backbone", "lab/model", ask)


def refused(kind: type[Exception]) -> Exception:
    return kind("no", response=SimpleNamespace(headers={}, request=None, status_code=403))  # type: ignore[call-arg]


def test_what_is_there_is_ok(tmp_path) -> None:
    (tmp_path / "plates").mkdir()
    found = looked_at(Workspace(tmp_path), root=str(tmp_path / "plates"))
    assert list(found) == [
        "versions", "data folder", "memory", "GPU", "source", "image backbone", "text backbone"
    ]  # fmt: skip
    assert found["source"] == Finding("source", "ok", ".../plates is on this machine")
    assert found["image backbone"].said == "untrained: no weights are needed"
    assert "torch" in found["versions"].said


def test_a_bucket_is_asked_once(tmp_path) -> None:
    with serving({"lab/workspace/metadata/a.csv": b"x"}) as server:
        given: dict[str, Any] = {"root": f"s3://{BUCKET}/lab", "endpoint_url": server.endpoint}
        assert looked_at(Workspace(tmp_path), **given)["source"].state == "ok"
        given["root"] = f"s3://{BUCKET}/elsewhere"
        assert "holds nothing" in looked_at(Workspace(tmp_path), **given)["source"].said
    lacking = looked_at(Workspace(tmp_path), **given)["source"]
    assert lacking.state == "lacks"
    assert "does not answer" in lacking.said
    assert lacking.fix


@pytest.mark.parametrize(
    ("error", "state", "said"),
    [
        (None, "ok", "lab/model can be had from the hub; a token is present"),
        (refused(GatedRepoError), "lacks", "lab/model needs approval; a token is present"),
        (refused(RepositoryNotFoundError), "lacks", "the hub has no lab/model"),
        (OSError("down"), "lacks", "is not in the cache, and the hub does not answer (OSError)"),
    ],
)
def test_weights_are_here_or_can_be_had_or_the_way_is_said(monkeypatch, error, state, said) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    found = of_hub(error)
    assert found.state == state
    assert said in found.said
    assert "hf_secret" not in str(found)
    assert state == "ok" or found.fix


def test_a_token_that_is_missing_is_said(monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    assert of_hub(refused(GatedRepoError)).said == "lab/model needs approval; there is no token"


def test_a_folder_of_weights_needs_no_hub(tmp_path) -> None:
    assert weights_of("x", "transformers", str(tmp_path)).state == "ok"


def test_little_disk_and_a_folder_that_cannot_be_written_are_said(tmp_path, monkeypatch) -> None:
    usage = machine_check.shutil.disk_usage("/")._replace(free=10**9)
    monkeypatch.setattr(machine_check.shutil, "disk_usage", lambda _: usage)
    assert data_folder(tmp_path / "data").state == "note"
    monkeypatch.setattr(machine_check.os, "access", lambda *_: False)
    assert data_folder(tmp_path / "data").state == "lacks"
