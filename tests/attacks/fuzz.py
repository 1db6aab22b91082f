"""A coverage-guided fuzzer (atheris) on the readers of files from outside; ``make fuzz``.

Whatever bytes come, a reader gives what it should or one of its own errors; anything else ends the
fuzzer with the bytes that did it.
"""

import argparse
import io
import logging
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

READERS = ("tiff", "tiff_of_channels", "npy", "pt", "csv", "well", "clause", "yaml")


def reader(name: str, folder: Path) -> tuple[Callable[[bytes], Any], tuple[type[Exception], ...]]:
    """A function of bytes, and what it may raise."""
    from kedro.io import DatasetError
    from pydantic import ValidationError

    from morphoclip.conf_files import check_conf_files
    from morphoclip.datasets.npy_file import NpyFileDataset
    from morphoclip.datasets.spreadsheet import SpreadsheetDataset
    from morphoclip.datasets.torch_file import TorchFileDataset
    from morphoclip.errors import InputError
    from morphoclip.imaging.site_images import checked_illumination
    from morphoclip.imaging.tiff import UnusablePlane, channels_of, decode_plane
    from morphoclip.perturbations.wells_table import read_wells_table
    from morphoclip.perturbations.wording import Clauses
    from morphoclip.well_names import well_position

    def by_file(ending: str, read: Callable[[Path], Any]) -> Callable[[bytes], Any]:
        def act(content: bytes) -> Any:
            path = folder / f"input{ending}"
            path.write_bytes(content)
            return read(path)

        return act

    def conf(path: Path) -> None:
        (folder / "conf" / "base").mkdir(parents=True, exist_ok=True)
        path.rename(folder / "conf" / "base" / "parameters.yml")
        check_conf_files(folder / "conf", "base")

    def text(read: Callable[[str], Any]) -> Callable[[bytes], Any]:
        return lambda content: read(content.decode("utf-8", "replace"))

    refused = (InputError, DatasetError)
    return {
        "tiff": (decode_plane, (UnusablePlane,)),
        "tiff_of_channels": (channels_of, (UnusablePlane,)),
        "npy": (
            by_file(
                ".npy",
                lambda path: checked_illumination(NpyFileDataset(filepath=str(path)).load(), "x"),
            ),
            refused,
        ),
        "pt": (by_file(".pt", lambda path: TorchFileDataset(filepath=str(path)).load()), refused),
        "csv": (
            by_file(
                ".csv",
                lambda path: read_wells_table(
                    SpreadsheetDataset(filepath=str(path), called="the wells table").load(), {}
                ),
            ),
            refused,
        ),
        "well": (text(well_position), refused),
        "clause": (
            text(lambda clause: Clauses(name_only=(clause,), negative_control="x")),
            (ValidationError,),
        ),
        "yaml": (by_file(".yml", conf), refused),
    }[name]


def seeds() -> list[bytes]:
    """Whole files, from which the fuzzer starts."""
    import numpy as np
    import tifffile
    import torch
    import yaml

    plane = np.arange(400, dtype=np.uint16).reshape(20, 20)
    found = []
    for options in ({}, {"compression": "lzw"}, {"ome": True}, {"imagej": True}):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, plane, **options)
        found.append(buffer.getvalue())
    buffer = io.BytesIO()
    np.save(buffer, plane.astype(np.float32) + 1)
    found.append(buffer.getvalue())
    buffer = io.BytesIO()
    torch.save({"tokens": torch.zeros(2, 3)}, buffer)
    found.append(buffer.getvalue())
    found.append(b"plate,well,perturbation,control\nP1,A01,drug,\nP1,A02,DMSO,negcon\n")
    found += [b"A01", b"Target: {gene}.", yaml.safe_dump({"training": {"epochs": 3}}).encode()]
    return found


def fuzz_one(name: str, seconds: int) -> None:
    """Fuzz one reader in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=["morphoclip", "tifffile"]):
        folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        read, allowed = reader(name, folder)
    warnings.simplefilter("ignore")
    logging.disable()
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, content in enumerate(seeds()):
        (corpus / str(number)).write_bytes(content)

    def one(content: bytes) -> None:
        with suppress(*allowed):
            read(content)

    options = [f"-max_total_time={seconds}", "-max_len=8192", "-timeout=30", "-rss_limit_mb=4096"]
    atheris.Setup([name, *options, f"-artifact_prefix={folder}/", str(corpus)], one)
    atheris.Fuzz()


def main() -> None:
    """Fuzz each reader in a process of its own, and say how it ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--reader", choices=READERS)
    given = parser.parse_args()
    if given.reader:
        fuzz_one(given.reader, given.seconds)
        return
    failed = []
    for name in READERS:
        command = [sys.executable, "-m", "tests.attacks.fuzz", "--reader", name]
        done = subprocess.run(
            [*command, "--seconds", str(given.seconds)], capture_output=True, text=True
        )
        lines = (done.stderr + done.stdout).strip().splitlines()
        print(name, "held:" if done.returncode == 0 else "FAILED:", lines[-1] if lines else "")
        if done.returncode:
            failed.append(name)
            print("\n".join(lines[-40:]))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
