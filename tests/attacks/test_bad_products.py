"""Files that the project itself wrote, and what disks and people do to them afterwards."""

import json
import os
import pickle
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from attacks.outcomes import Attack, outcome
from attacks.reference import copy
from project import Workspace

from morphoclip.bundle.loaded import Bundle
from morphoclip.datasets.torch_file import TorchFileDataset
from morphoclip.features.site_files import pack_plate
from morphoclip.training.checkpoints import RunCheckpoints
from morphoclip.well_names import well_name

pytestmark = pytest.mark.slow

CODECS = {
    "model": "morphoclip.models.trained.TrainedModel",
    "text_features": "morphoclip.features.text_features.TextFeatures",
    "plate_features": "morphoclip.features.plate_features.PlateFeatures",
}


class Harm:
    """Runs code where it is unpickled; what it leaves tells on it."""

    def __init__(self, mark: Path) -> None:
        self._mark = str(mark)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path(self._mark),))


@pytest.fixture(scope="module")
def made(reference, tmp_path_factory) -> Path:
    """A finished job with a bundle, in a folder of its own."""
    folder = tmp_path_factory.mktemp("products") / "made"
    copy(reference.after("evaluation"), folder)
    Workspace(folder).run("pack_model")
    return folder


def newest(data: Path, pattern: str) -> Path:
    return sorted(data.glob(pattern))[-1]


def read_tables(folder: Path, name: str) -> Any:
    return Workspace(folder).load(name)


def read_site(data: Path) -> Any:
    folder = next((data / "04_feature/site_features/default").glob("*/"))
    files = sorted(folder.glob("*.pt"))
    places = [(int(path.stem[1:3]), int(path.stem[4:6])) for path in files]
    index = pd.DataFrame({"Metadata_Well": [well_name(*place) for place in places]})
    index = index.assign(Metadata_Plate=folder.name, Metadata_Site=1)
    loaders = {
        f"{folder.name}/{path.stem}": TorchFileDataset(filepath=str(path)).load for path in files
    }
    return pack_plate(folder.name, index, loaders, {}).to_payload()


def alike(one: Any, other: Any) -> bool:
    if isinstance(one, pd.DataFrame):
        return one.equals(other)
    if isinstance(one, torch.Tensor | np.ndarray):
        return bool((torch.as_tensor(one) == torch.as_tensor(other)).all())
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == other)


def products(folder: Path) -> dict[str, tuple[Path, Callable[[], Any]]]:
    """Each kind of file: one of them, and how it is read."""
    data = folder / "data" / "test"
    checkpoint = newest(data, "06_models/checkpoints/*/last.pt")

    def of_catalog(name: str) -> Callable[[], Any]:
        return lambda: read_tables(folder, name)

    def payload(name: str) -> Callable[[], Any]:
        return lambda: Workspace(folder).load(name).to_payload()

    def of_plate(name: str) -> Callable[[], Any]:
        return lambda: next(iter(Workspace(folder).load(name).values()))()

    def bundle() -> Any:
        opened = Bundle(data / "06_models/bundle")
        return [opened.embed_text("kinase inhibitor"), opened.prompts]

    plates = next((data / "04_feature/plate_features/default").glob("*.pt"))
    packed = data / "06_models/bundle"
    return {
        "model": (newest(data, "06_models/model.pt/*/model.pt"), payload("model")),
        "text_features": (data / "04_feature/text_features.pt", payload("text_features")),
        "plate_features": (plates, lambda: of_plate("plate_features")().to_payload()),
        "site_features": (
            next((data / "04_feature/site_features/default").glob("*/r*.pt")),
            lambda: read_site(data),
        ),
        "checkpoint": (checkpoint, RunCheckpoints(checkpoint.parent).load_last),
        "plate_record": (
            next((data / "04_feature/site_features/default").glob("*/plate.json")),
            of_plate("plate_records"),
        ),
        "split_manifest": (
            newest(data, "02_intermediate/split_manifest.parquet/*/*"),
            of_catalog("split_manifest"),
        ),
        "split_record": (
            newest(data, "02_intermediate/split_record.json/*/*"),
            of_catalog("split_record"),
        ),
        "well_index": (data / "02_intermediate/well_index.parquet", of_catalog("well_index")),
        "prompts": (data / "02_intermediate/prompts.parquet", of_catalog("prompts")),
        "well_profiles": (
            newest(data, "08_reporting/well_profiles.parquet/*/*"),
            of_catalog("well_profiles"),
        ),
        "well_quality": (
            next((data / "02_intermediate/well_quality/default").glob("*.parquet")),
            of_catalog("well_quality"),
        ),
        "bundle's weights": (packed / "model.safetensors", bundle),
        "bundle's config": (packed / "config.json", bundle),
        "bundle's prompts": (packed / "prompts.parquet", bundle),
    }


def harmed(path: Path, mark: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """What may befall any file."""
    content = path.read_bytes()
    numbers = random.Random(path.name)
    yield "nothing in it", lambda: path.write_bytes(b"")
    yield "half of it", lambda: path.write_bytes(content[: len(content) // 2])
    yield "its last byte gone", lambda: path.write_bytes(content[:-1])
    yield "a text", lambda: path.write_text("the cells looked fine to me\n" * 50)
    yield "noughts", lambda: path.write_bytes(bytes(len(content)))
    yield "code that is pickled", lambda: path.write_bytes(pickle.dumps(Harm(mark)))
    for share in (0.2, 0.4, 0.6, 0.8):
        place = int(share * len(content)) + numbers.randrange(20)
        changed = bytearray(content)
        changed[place] ^= 1 << numbers.randrange(8)
        yield f"byte {place} changed", lambda c=bytes(changed): path.write_bytes(c)


def changed_payloads(payload: dict[str, Any], mark: Path) -> Iterator[tuple[str, Any]]:
    """What may be wrong with what a whole file holds."""
    yield "a list", [1, 2]
    yield "a tensor", torch.zeros(3)
    yield "nothing", {}
    yield "one name more", payload | {"more": 1}
    yield "code", {"model": Harm(mark)}
    for key, value in payload.items():
        yield f"no {key}", {name: one for name, one in payload.items() if name != key}
        yield f"{key} of another kind", payload | {key: 3.5 if isinstance(value, str) else "text"}
        if isinstance(value, torch.Tensor):
            yield f"one row of {key} less", payload | {key: value[:-1].clone()}
            yield f"{key} without its last dimension", payload | {key: value[..., 0].clone()}
            if value.is_floating_point():
                odd = value.clone()
                odd.flatten()[0] = float("nan")
                yield f"{key} with a NaN", payload | {key: odd}
                yield f"complex {key}", payload | {key: value.to(torch.complex64)}


ACCEPTED = {
    "model: no validation_joined", "model: no started_from", "model: started_from of another kind",
    "model: validation_joined of another kind", "text_features: one name more",
    "text_features: no facts", "text_features: no fact_names",
}  # fmt: skip
"""Older files lack these; what more a file holds is not read."""


def test_damaged_files_are_refused_or_read_as_they_were(made, tmp_path, caplog) -> None:
    """No changed byte changes a result without a word, and nothing that is read is run."""
    folder, mark = tmp_path / "run", tmp_path / "harm-was-done"
    copy(made, folder)
    wrong, n_attacks = {}, 0
    for name, (path, read) in products(folder).items():
        whole = path.read_bytes()
        path.unlink()  # a second name of a file that others share
        path.write_bytes(whole)
        expected = read()
        for what, harm in harmed(path, mark):
            harm()
            found = []
            attack = Attack(what, lambda read=read, found=found: found.append(read()) or found[0])
            ended = outcome(attack, bool, caplog.records)
            if not (found and alike(found[0], expected)):
                wrong |= {f"{name}: {what}": ended} if ended else {}
            path.write_bytes(whole)
            n_attacks += 1
        assert alike(read(), expected), name
    assert not wrong, "\n".join(f"{name}: {what}" for name, what in wrong.items())
    assert not mark.exists()
    assert n_attacks >= 150


def test_whole_files_that_hold_something_else_are_refused(made, tmp_path, caplog) -> None:
    mark, path = tmp_path / "harm-was-done", tmp_path / "product.pt"
    wrong, n_attacks = {}, 0
    for name, codec in CODECS.items():
        original, _ = products(made)[name]
        payload = torch.load(original, weights_only=True)
        for what, changed in changed_payloads(payload, mark):
            torch.save(changed, path)
            dataset = TorchFileDataset(filepath=str(path), codec=codec)
            attack = Attack(what, dataset.load, words="product.pt")
            ended = outcome(attack, bool, caplog.records)
            if ended and f"{name}: {what}" not in ACCEPTED:
                wrong[f"{name}: {what}"] = ended
            n_attacks += 1
    assert not wrong, "\n".join(f"{name}: {what}" for name, what in wrong.items())
    assert not mark.exists()
    assert n_attacks >= 60


@pytest.mark.parametrize(
    "record",
    ["null", "[]", "{}", '{"fingerprint": {}}', '{"fingerprint": 3, "plate_intensities": []}'],
)
def test_records_of_plates_that_hold_something_else_are_refused(
    made, tmp_path, record: str, caplog
) -> None:
    folder = tmp_path / "run"
    copy(made, folder)
    path, _ = products(folder)["plate_record"]
    path.unlink()
    path.write_text(record)
    attack = Attack(record, lambda: Workspace(folder).run("image_features"), words="plate.json")
    assert not outcome(attack, bool, caplog.records)


def test_a_packed_file_that_cannot_be_read_is_packed_again(made, tmp_path, caplog) -> None:
    folder = tmp_path / "run"
    copy(made, folder)
    path, _ = products(folder)["plate_features"]
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole[:-100])
    Workspace(folder).run("image_features")
    assert "is packed again" in caplog.text
    assert path.read_bytes() == whole


def test_a_folder_named_like_an_image_is_set_aside(made, tmp_path) -> None:
    folder = tmp_path / "run"
    copy(made, folder)
    image = next((folder / "data/test/01_raw").rglob("*.tiff"))
    image.unlink()
    image.mkdir()
    shutil.rmtree(folder / "data/test/04_feature")
    workspace = Workspace(folder)
    workspace.run("ingestion", "image_features")
    aside = workspace.load("set_aside_sites")
    assert len(aside) == 1, aside
    assert json.dumps(aside["Metadata_Site"].tolist())
    assert os.path.isdir(image)  # noqa: PTH112
