"""Tokens, passwords and paths of this machine: in nothing that a run writes or says."""

import io
import logging
import os
import zipfile
from pathlib import Path

import pytest
from attacks.reference import copy
from kedro.io import DatasetError
from project import PROJECT, Workspace

from morphoclip.cli.explain import explain
from morphoclip.errors import without_credentials

pytestmark = pytest.mark.slow

SECRETS = {
    "HF_TOKEN": "hf_fakeTokenOfNobody0123",
    "HUGGING_FACE_HUB_TOKEN": "hf_fakeTokenOfNobody4567",
    "AWS_ACCESS_KEY_ID": "AKIAFAKEFAKEFAKE0001",
    "AWS_SECRET_ACCESS_KEY": "fakeSecretKeyOfNobody89",
    "AWS_SESSION_TOKEN": "fakeSessionOfNobody77",
}


def texts(folder: Path) -> dict[str, bytes]:
    """Bytes of every file, those in archives unpacked."""
    found = {}
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        content = path.read_bytes()
        found[str(path.relative_to(folder))] = content
        if zipfile.is_zipfile(io.BytesIO(content)):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                found |= {f"{path.name}/{n}": archive.read(n) for n in archive.namelist()}
    return found


def test_no_secret_and_no_path_is_in_what_a_run_leaves(
    reference, tmp_path, monkeypatch, caplog
) -> None:
    folder = tmp_path / "run"
    copy(reference.before("text_features"), folder)
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    caplog.set_level(logging.DEBUG)
    workspace = Workspace(folder)
    workspace.run("text_features", "splitting", "training", "evaluation")
    workspace.run("pack_model")
    said = caplog.text.encode()
    written = texts(folder)
    assert len(written) > 60
    for secret in SECRETS.values():
        assert secret.encode() not in said
        assert not [name for name, content in written.items() if secret.encode() in content]
    paths = [os.fsencode(place) for place in (folder, PROJECT, Path.home()) if len(str(place)) > 5]
    products = {
        name: content
        for name, content in written.items()
        if not name.startswith(("mlflow.db", "mlflow.lock")) and ".claims" not in name
    }
    leaks = [name for name, content in products.items() if any(p in content for p in paths)]
    assert not leaks


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://key:secret@bucket/a is gone", "s3://bucket/a is gone"),
        ("https://user:pa:ss@host/x", "https://host/x"),
        ("https://h/x?X-Amz-Signature=abc&v=1", "https://h/x?X-Amz-Signature=...&v=1"),
        ("https://h/x?token=abc", "https://h/x?token=..."),
        ("mail to a@b.example", "mail to a@b.example"),
        ("data/model.pt", "data/model.pt"),
    ],
)
def test_sentences_carry_no_credentials(text: str, shown: str) -> None:
    assert without_credentials(text) == shown
    sentence = explain(DatasetError(text))
    assert sentence is not None
    assert sentence == shown


def test_a_source_with_a_password_is_not_printed(tmp_path) -> None:
    source = {"root": "https://user:secretOfNobody@127.0.0.1:9/gallery"}
    with pytest.raises(Exception, match=r".") as caught:
        Workspace(tmp_path).run("ingestion", ingestion={"source": source})
    assert "secretOfNobody" not in (explain(caught.value) or "")
