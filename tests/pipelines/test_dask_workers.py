"""Workers of a Dask cluster make what one process makes, though they are killed and hang."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from network_namespaces import Place, places
from project import Workspace

from morphoclip.errors import InputError
from morphoclip.features import dask_extraction

pytestmark = pytest.mark.slow

PLATES = {"demo_gallery": {"plates_per_modality": 2}}
SMALL_BATCHES = {"batch_size": 3}


@pytest.fixture(scope="module")
def at_home(tmp_path_factory) -> Workspace:
    """Four plates whose features one process made."""
    workspace = Workspace(tmp_path_factory.mktemp("home"))
    workspace.run("demo_gallery", **PLATES)
    names = sorted(path.name.partition("__")[0] for path in plates_in(workspace))[:4]
    workspace.chosen = {"plates": "+".join(names)}
    workspace.run("ingestion", ingestion=workspace.chosen)
    workspace.run("image_features", ingestion=workspace.chosen, image_features=SMALL_BATCHES)
    return workspace


def plates_in(workspace: Workspace) -> list[Path]:
    return sorted(path for path in (workspace.data / "01_raw/images/synthetic/images").iterdir())


@pytest.fixture
def lab(tmp_path, at_home) -> Workspace:
    """The same plates, without features."""
    lab = Workspace(tmp_path)
    lab.data.mkdir(parents=True)
    (lab.data / "01_raw").symlink_to(at_home.data / "01_raw")
    lab.chosen = at_home.chosen
    lab.run("ingestion", ingestion=lab.chosen)
    return lab


def products(workspace: Workspace) -> dict[str, bytes]:
    return {
        path.relative_to(workspace.data).as_posix(): path.read_bytes()
        for folder in ("02_intermediate", "04_feature")
        for path in sorted((workspace.data / folder).rglob("*"))
        if path.is_file()
    }


def differing(one: Workspace, other: Workspace) -> set[str]:
    ours, theirs = products(one), products(other)
    return {name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)}


@contextmanager
def cluster(
    folder: Path, monkeypatch, names: tuple[str, ...] = ("one", "two")
) -> Iterator[tuple[str, list[psutil.Process]]]:
    """The address of a scheduler with TLS, and workers, each below a nanny of its own.

    Each worker is in a network namespace of its own, where this machine has such.
    """
    from distributed.security import Security

    folder.mkdir()
    settings = Security.temporary()
    flags = []
    for name, flag in (("ca_file", "ca-file"), ("client_cert", "cert"), ("client_key", "key")):
        path = folder / name
        path.write_text(getattr(settings, f"tls_{name}"))
        flags += [f"--tls-{flag}", str(path)]
    of_client = {"CA_FILE": "ca_file", "CLIENT__CERT": "client_cert", "CLIENT__KEY": "client_key"}
    for name, path in of_client.items():
        monkeypatch.setenv(f"DASK_DISTRIBUTED__COMM__TLS__{name}", str(folder / path))
    import dask

    dask.config.refresh()
    environment = os.environ | {
        "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "5s",
        "OMP_NUM_THREADS": "1",
    }

    def start(place: Place, *command: str) -> subprocess.Popen[bytes]:
        where = ["--host", place.address, "--protocol", "tls://", "--no-dashboard"]
        return subprocess.Popen(
            [*place.prefix, sys.executable, "-m", "dask", *command, *where, *flags],
            env=environment,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    file = folder / "scheduler.json"
    with places(len(names)) as (own, inside):
        processes = [start(own, "scheduler", "--port", "0", "--scheduler-file", str(file))]
        try:
            while not file.exists():
                time.sleep(0.1)
            address = json.loads(file.read_text())["address"]
            worker = ["worker", address, "--nthreads", "1"]
            processes += [
                start(place, *worker, "--name", name)
                for place, name in zip(inside, names, strict=True)
            ]
            yield address, [psutil.Process(process.pid) for process in processes[1:]]
        finally:
            for process in processes:
                for child in psutil.Process(process.pid).children(recursive=True):
                    with suppress(psutil.NoSuchProcess):
                        child.kill()
                process.kill()
                process.wait()
            monkeypatch.undo()
            dask.config.refresh()


def own_worker(nanny: psutil.Process) -> psutil.Process:
    """The process that works, below the one that watches it."""
    return next(child for child in nanny.children() if "spawn_main" in " ".join(child.cmdline()))


class Strikes(threading.Thread):
    """Strikes workers when so many sites have features."""

    def __init__(self, lab: Workspace, strikes: dict[int, tuple[psutil.Process, int]]) -> None:
        super().__init__(daemon=True)
        self.features = lab.data / "04_feature" / "site_features"
        self.strikes = strikes
        self.struck_at: list[int] = []

    def run(self) -> None:
        for wanted, (nanny, number) in self.strikes.items():
            while (there := len(list(self.features.rglob("[!.]*.pt")))) < wanted:
                time.sleep(0.01)
            own_worker(nanny).send_signal(number)
            self.struck_at.append(there)


def test_a_killed_and_a_hanging_worker_change_nothing(lab, at_home, tmp_path, monkeypatch) -> None:
    n_sites = len([name for name in products(at_home) if "/site_features/" in name])
    with cluster(tmp_path / "cluster", monkeypatch) as (address, (one, two)):
        strikes = Strikes(lab, {9: (one, signal.SIGKILL), 24: (two, signal.SIGSTOP)})
        strikes.start()
        settings = SMALL_BATCHES | {"executor": "dask", "dask": {"address": address}}
        lab.run("image_features", ingestion=lab.chosen, image_features=settings)
        strikes.join(1)
    assert len(strikes.struck_at) == 2
    assert max(strikes.struck_at) < n_sites - 6
    assert differing(lab, at_home) == set()


def test_workers_of_this_machine_start_afresh_and_change_nothing(lab, at_home, caplog) -> None:
    caplog.set_level("INFO")
    dask = {"workers": 2, "plates_per_restart": 1}
    settings = SMALL_BATCHES | {"executor": "dask", "dask": dask}
    lab.run("image_features", ingestion=lab.chosen, image_features=settings)
    assert differing(lab, at_home) == set()
    assert "2 Dask workers start afresh after" in caplog.text
    caplog.clear()
    lab.run("image_features", ingestion=lab.chosen, image_features=settings)
    assert "on this machine" not in caplog.text, "no cluster is started for nothing"


def test_a_plate_that_fails_is_set_aside_and_the_others_go_on(lab, at_home) -> None:
    bad = plates_in(at_home)[1]
    name = bad.name.partition("__")[0]
    (lab.data / "01_raw").unlink()
    copied = lab.data / "01_raw" / "images" / "synthetic" / "images"
    copied.mkdir(parents=True)
    for folder in plates_in(at_home):
        if folder != bad:
            (copied / folder.name).symlink_to(folder)
    for path in bad.rglob("*.tiff"):
        place = copied / path.relative_to(bad.parent)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"no TIFF")
    settings = SMALL_BATCHES | {"executor": "dask", "dask": {"workers": 2}}
    with pytest.raises(
        InputError, match=rf"1 of 4 plate\(s\) could not be extracted, e.g. {name}: none of the"
    ):
        lab.run("image_features", ingestion=lab.chosen, image_features=settings)
    packed = {path.stem for path in lab.data.glob("04_feature/plate_features/*/*.pt")}
    assert len(packed) == 3
    assert name not in packed


def test_a_cluster_without_workers_is_waited_for_so_long(lab, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(dask_extraction, "_SECONDS_BETWEEN_LOOKS", 0.5)
    with cluster(tmp_path / "cluster", monkeypatch, names=()) as (address, _):
        dask = {"address": address, "patience": 2}
        with pytest.raises(InputError, match="has had no worker for 2 s"):
            lab.run(
                "image_features",
                ingestion=lab.chosen,
                image_features=SMALL_BATCHES | {"executor": "dask", "dask": dask},
            )
