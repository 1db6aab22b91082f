"""Extraction that is killed again and again ends where an uninterrupted one ends."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from project import PROJECT, Workspace

pytestmark = pytest.mark.slow

KILLS = 10
GALLERY = {"sites_per_well": 4, "image_size": 64}
PARAMS = {"image_features": {"batch_size": 4, "preprocess": {"size": 64}}}
CHILD = """
import json, sys
sys.path.insert(0, "tests")
from pathlib import Path
from project import Workspace
Workspace(Path(sys.argv[1])).run("image_features", **json.loads(sys.argv[2]))
"""


def site_files(workspace: Workspace) -> dict[str, bytes]:
    folder = workspace.data / "04_feature"
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".partial"
    }


def start(workspace: Workspace) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(workspace.folder), json.dumps(PARAMS)],
        cwd=PROJECT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill_while_it_writes(workspace: Workspace, rng: random.Random) -> tuple[int, int]:
    """Sites on disk before and after a run that is killed after some more."""
    folder = workspace.data / "04_feature" / "site_features"
    before = len(list(folder.rglob("*.pt")))
    process = start(workspace)
    wanted = before + rng.randint(1, 14)
    while len(list(folder.rglob("*.pt"))) < wanted and process.poll() is None:
        time.sleep(0.002)
    time.sleep(rng.random() * 0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
    return before, len(list(folder.rglob("*.pt")))


def test_ten_kills_change_no_bit(tmp_path) -> None:
    whole = Workspace(tmp_path / "whole")
    whole.run("demo_gallery", demo_gallery=GALLERY)
    whole.run("ingestion")
    killed = Workspace(tmp_path / "killed")
    shutil.copytree(whole.folder, killed.folder, ignore=shutil.ignore_patterns("mlflow*"))
    whole.run("image_features", **PARAMS)

    rng = random.Random(0)
    for _ in range(KILLS):
        before, after = kill_while_it_writes(killed, rng)
        assert before < after < 228
    killed.run("image_features", **PARAMS)

    assert site_files(killed) == site_files(whole)
    for name in ("site_qc", "set_aside_sites", "plate_intensities"):
        pd.testing.assert_frame_equal(killed.load(name), whole.load(name))


def test_two_runs_on_different_plates_at_once_are_safe(tmp_path) -> None:
    workspace = Workspace(tmp_path)
    workspace.run("demo_gallery")
    workspace.run("ingestion")
    plates = sorted(workspace.load("well_index")["Metadata_Plate"].unique())
    code = CHILD
    started = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                code,
                str(tmp_path),
                json.dumps({"ingestion": {"plates": plate}}),
            ],
            cwd=PROJECT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for plate in plates
    ]
    for process in started:
        _, errors = process.communicate()
        assert process.returncode == 0, errors.decode()[-2000:]
    assert sorted(workspace.load("plate_features")) == plates
    assert sorted(workspace.load("site_qc")["Metadata_Plate"].unique()) == plates
    workspace.run("verify_features")


def test_peak_memory_does_not_grow_with_the_number_of_sites(tmp_path) -> None:
    """Six times the sites of one plate, at most a fifth more memory beyond what imports take."""
    peaks = []
    for sites_per_well in (1, 6):
        workspace = Workspace(tmp_path / str(sites_per_well))
        workspace.run("demo_gallery", demo_gallery=GALLERY | {"sites_per_well": sites_per_well})
        workspace.run("ingestion")
        code = (
            CHILD + "\nimport resource\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(workspace.folder), json.dumps(PARAMS)],
            cwd=PROJECT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        peaks.append(int(done.stdout.split()[-1]))
    assert peaks[1] < 1.2 * peaks[0], Path(tmp_path)
