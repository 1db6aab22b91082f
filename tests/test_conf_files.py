"""Mistakes in files below conf/: the file, the line, the remedy."""

import re
import shutil
from pathlib import Path

import pytest
from omegaconf.errors import OmegaConfBaseException
from project import PROJECT

from morphoclip.conf_files import CheckedConfigLoader, unresolved
from morphoclip.errors import InputError
from morphoclip.settings import CONFIG_LOADER_ARGS


def check(folder: Path, files: dict[str, bytes | str]) -> None:
    conf = folder / "conf"
    for name in ("base", "demo"):
        shutil.copytree(PROJECT / "conf" / name, conf / name)
    for name, content in files.items():
        path = conf / "lab" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    try:
        loader = CheckedConfigLoader(str(conf), env="lab", **CONFIG_LOADER_ARGS)
        for kind in ("globals", "parameters", "catalog", "mlflow"):
            loader[kind]
    except OmegaConfBaseException as error:
        raise InputError(unresolved(error, conf)) from error


FINE = {
    "globals.yml": "source: {root: /plates}\n",
    "parameters.yml": "\ufefftraining:\n  epochs: 3   # few\nsplitting: {seed: 1}\n",
    "catalog.yml": "_table: &t {type: pandas.CSVDataset}\nprompts:\n  <<: *t\n  filepath: a.csv\n",
    "image_features/parameters.yml": "image_features:\n  batch_size: 4\n",
    "parameters_more.yaml": "",
    "notes.txt": "no YAML",
}


def test_what_is_right_is_accepted(tmp_path) -> None:
    check(tmp_path, FINE)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("parameters.yml", "training:\n\tepochs: 3\n", "line 2: a tab"),
        ("parameters.yml", "training: {epochs: 3\n", r"line 2 is no YAML: .* line 1 does not end"),
        ("parameters.yml", "training: [1, 2\nmodel: 3", "is no YAML"),
        ("parameters.yml", "training: a: b\n", "line 1 is no YAML: mapping values"),
        ("parameters.yml", "training: 'a\n", "is no YAML: .* end of stream"),
        ("parameters.yml", "training: @x\n", "line 1 is no YAML"),
        ("parameters.yml", "training: &a\nmodel: *b\n", "line 2 is no YAML: found undefined alias"),
        ("parameters.yml", "training: {epochs: 1}\ntraining: {seed: 1}\n", "lines 1 and 2; keep"),
        ("parameters.yml", "training:\n  seed: 1\n  epochs: 2\n  seed: 3\n", "lines 2 and 4"),
        ("parameters.yml", "- training\n- model\n", "holds no `key: value` at its top"),
        ("parameters.yml", "training", "holds no `key: value` at its top"),
        (
            "parameters.yml",
            "# \xe4\nmodel: 1\n".encode("latin-1"),
            "line 1: a character that is no",
        ),
        ("parameters.yml", "training: 1\n".encode("utf-16"), "no UTF-8"),
        ("parameters.yml", "model: \x00\n", "is no YAML"),
        ("parameters.yml", "trianing: {epochs: 3}\n", "line 1: trianing .* did you mean training"),
        ("parameters.yml", "a: 1\n\nsplittng: {}\n", "line 1: a is a group of parameters"),
        ("parameters.yml", "look_up: {}\n", "look_up is now called find_similar"),
        ("parameters.yml", "training: {epochs: '${nothing}'}\n", "line 1: the value of training.e"),
        ("parameters.yml", "training: {seed: '${oc.env:UNSET_HERE}'}\n", "line 1: .*UNSET_HERE"),
        ("parameters.yml", "training: {epochs: '${evil:rm}'}\n", "line 1: .*evil"),
        ("parameters.yml", "training: {epochs: '${globals:none}'}\n", "line 1: the value of"),
        ("parameters.yml", "training: {epochs: '${open'}\n", "the value of"),
        ("catalog.yml", "promts: {type: pandas.CSVDataset}\n", "did you mean prompts"),
        ("catalog.yml", "prompts: {type: x\n", "is no YAML"),
        ("globals.yml", "data: ${oc.env:UNSET_HERE}\n", "line 1: .*UNSET_HERE"),
        ("globals.yaml", "data: x\n", r"globals.yaml is read by nothing: .* globals.yml"),
        ("params.yml", "training: {}\n", r"params.yml is read by nothing: .* parameters.yml"),
        ("training/epochs.yml", "training: {}\n", "epochs.yml is read by nothing"),
        ("mlflow.yml", "tracking: [\n", "is no YAML"),
    ],
)
def test_a_mistake_is_told_with_its_file_and_line(tmp_path, file, content, message) -> None:
    with pytest.raises(InputError, match=rf"(?s)conf/lab/{file}.*|conf: ") as caught:
        check(tmp_path, {file: content})
    assert re.search(message, str(caught.value)), str(caught.value)


def test_a_group_in_two_files_is_told_with_both(tmp_path) -> None:
    files = {"parameters.yml": "training: {seed: 1}\n", "parameters_b.yml": "\ntraining: {}\n"}
    with pytest.raises(InputError, match=r"parameters.yml, line 1, and in .*_b.yml, line 2"):
        check(tmp_path, files)
