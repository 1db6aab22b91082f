"""Tokens that stay in their files are those that lie in memory, to the bit."""

import os
import pickle
from pathlib import Path

import pandas as pd
import pytest
import torch
from small_training import NO_DROPOUT, QUICK, manifest_of, wells

from morphoclip.columns import N_SITES, PLATE, ROLE, WELL
from morphoclip.datasets.partitions import Partitions
from morphoclip.errors import InputError
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.models.embedding import embed
from morphoclip.plate_correction import TokenNormalisation
from morphoclip.training.checkpoints import CheckpointStore
from morphoclip.training.trainer import train
from morphoclip.well_names import well_name, well_position
from morphoclip.wells import featured, sites_on_disk
from morphoclip.wells.ahead import read_ahead
from morphoclip.wells.assemble import Wells
from morphoclip.wells.featured import FeaturedWells, wells_with_features
from morphoclip.wells.sites_on_disk import SitesOnDisk

ROWS, COLUMNS = 4, 6
PLATES = ("P1", "P2", "P3")


def plate_folder(folder: Path) -> Partitions:
    return Partitions(
        path=str(folder),
        filename_suffix=".pt",
        dataset={
            "type": "morphoclip.datasets.torch_file.TorchFileDataset",
            "codec": "morphoclip.features.plate_features.PlateFeatures",
            "mmap": True,
        },
    )


@pytest.fixture
def plates(tmp_path) -> Partitions:
    """Three plates whose sites lie in no order, one well with none."""
    generator = torch.Generator().manual_seed(0)
    folder = plate_folder(tmp_path / "plates")
    names = [well_name(r, c) for r in range(1, ROWS + 1) for c in range(1, COLUMNS + 1)]
    for number, plate in enumerate(PLATES):
        sites = [(well, site) for n, well in enumerate(names) for site in range(1, n % 4 + 1)]
        order = torch.randperm(len(sites), generator=generator).tolist()
        tokens = (number + 1) * torch.randn(len(sites), 3, 8, generator=generator) + number
        features = PlateFeatures.pack(plate, [sites[n] for n in order], tokens, {"model": "x"})
        folder.save({plate: features})
    return folder


def well_index() -> pd.DataFrame:
    names = [well_name(r, c) for r in range(1, ROWS + 1) for c in range(1, COLUMNS + 1)]
    rows = [
        (plate, well, "negcon" if n % 2 else "trt", 3)
        for plate in PLATES
        for n, well in enumerate(names)
    ]
    return pd.DataFrame(rows, columns=[PLATE, WELL, ROLE, N_SITES])


def both(plates: Partitions, kind: str = "negcon_zscore") -> tuple[FeaturedWells, FeaturedWells]:
    loaders, normalisation = plates.load(), TokenNormalisation(kind)
    return (
        wells_with_features(loaders, well_index(), normalisation, "ram"),
        wells_with_features(loaders, well_index(), normalisation, "mmap"),
    )


@pytest.mark.parametrize("kind", ["none", "negcon_zscore", "negcon_plane_zscore", "plate_zscore"])
def test_what_is_read_is_what_lies_in_memory(kind: str, plates, monkeypatch) -> None:
    monkeypatch.setattr(sites_on_disk, "_NUMBERS_AT_ONCE", 5 * 3 * 8)
    ram, disk = both(plates, kind)
    assert isinstance(disk.sites, SitesOnDisk)
    assert disk.sites.shape == ram.sites.shape
    pd.testing.assert_frame_equal(ram.table, disk.table)
    generator = torch.Generator().manual_seed(1)
    n_sites = len(ram.sites.tokens)
    for kept in (None, torch.rand(n_sites, generator=generator) < 0.5):
        rows = torch.randperm(len(ram.table), generator=generator)[:17]
        one, other = ram.sites.read(rows, kept), disk.sites.read(rows, kept)
        assert torch.equal(one.tokens, other.tokens)
        assert torch.equal(one.offsets, other.offsets)
    some = torch.tensor([40, 3, 3, 12])
    again = pickle.loads(pickle.dumps(disk.sites)).select(some)  # noqa: S301 - our own
    assert torch.equal(again.read(torch.arange(4)).tokens, ram.sites.select(some).tokens)
    assert torch.equal(again.means(torch.float64), ram.sites.select(some).means(torch.float64))
    pd.testing.assert_frame_equal(ram.mean_features(), disk.mean_features())


def test_batches_come_one_ahead_and_in_parts(plates) -> None:
    ram, disk = both(plates)
    batches = torch.randperm(len(ram.table), generator=torch.Generator().manual_seed(2)).split(9)
    taken = zip(
        batches, read_ahead(ram.sites, batches), read_ahead(disk.sites, batches), strict=True
    )
    for rows, from_ram, from_disk in taken:
        for part in (rows, rows[2:5], rows[[4, 1]], rows[:0]):
            assert torch.equal(from_ram(part, "cpu").tokens, from_disk(part, "cpu").tokens)


def wells_of(found: FeaturedWells) -> Wells:
    """The plates' wells with texts: two wells a prompt."""
    codes = torch.arange(len(found.table)) // 2
    small = wells(prompts=int(codes.max()) + 1)
    digests = [small.digests[code] for code in codes.tolist()]
    table = small.table.iloc[: len(codes)].assign(
        **{PLATE: found.table[PLATE], WELL: found.table[WELL], N_SITES: found.table[N_SITES]},
        Metadata_prompt_digest=digests,
    )
    return Wells(
        table, found.sites, codes, small.text, small.digests, found.fingerprint, {"b": "2"}
    )


@pytest.mark.parametrize(
    "change",
    [{}, {"micro_batch": 3, "sites_per_well": 1}, {"cwa": "condition_offset"}],
    ids=str,
)
def test_a_training_from_files_has_the_bits_of_one_from_memory(change, plates, tmp_path) -> None:
    trained = []
    for name, found in zip(("ram", "disk"), both(plates), strict=True):
        data = wells_of(found)
        config = QUICK.model_copy(update={"epochs": 2} | change)
        store = CheckpointStore(tmp_path / name)
        done = train(data, manifest_of(data), NO_DROPOUT, config, store, lambda *_: None)
        trained.append(done.model.members[0].state)
        assert torch.isfinite(data.mean_tokens_of_prompts()).all()
    for name, weights in trained[0].items():
        assert torch.equal(weights, trained[1][name]), name
    sums = [wells_of(found).mean_tokens_of_prompts() for found in both(plates)]
    assert torch.equal(*sums)


def test_auto_reads_from_files_what_would_fill_half_of_the_memory(plates, monkeypatch) -> None:
    loaders, kind = plates.load(), TokenNormalisation.NEGCON_ZSCORE
    n_bytes = 2 * int(well_index()[N_SITES].sum()) * 3 * 8
    for free, kept_on_disk in ((2 * n_bytes - 1, True), (2 * n_bytes, False)):
        monkeypatch.setattr(featured, "available_memory", lambda free=free: free)
        found = wells_with_features(loaders, well_index(), kind)
        assert isinstance(found.sites, SitesOnDisk) == kept_on_disk
    monkeypatch.setattr(featured, "available_memory", lambda: 0)
    sphered = wells_with_features(loaders, well_index(), TokenNormalisation.NEGCON_SPHERING)
    assert not isinstance(sphered.sites, SitesOnDisk)


def test_what_cannot_be_read_in_parts_is_said(plates) -> None:
    loaders = plates.load()
    with pytest.raises(
        InputError, match=r"placement mmap .* negcon_sphering holds a square matrix"
    ):
        wells_with_features(loaders, well_index(), TokenNormalisation.NEGCON_SPHERING, "mmap")
    in_memory = {name: (lambda name=name: loaders[name]()) for name in PLATES}
    with pytest.raises(InputError, match=r"no plain files of this machine: set"):
        wells_with_features(in_memory, well_index(), TokenNormalisation.NONE, "mmap")
    mixed = {**loaders, "P3": in_memory["P3"]}
    with pytest.raises(InputError, match="the features of plate P3 cannot be read in parts"):
        wells_with_features(mixed, well_index(), TokenNormalisation.NONE, "mmap")


def test_files_that_change_while_they_are_read_are_said(plates, tmp_path) -> None:
    _, disk = both(plates)
    path = tmp_path / "plates" / "P2.pt"
    whole = path.read_bytes()
    everyone = torch.arange(len(disk.table))
    path.write_bytes(whole)  # the same bytes, written again: nobody knows
    with pytest.raises(InputError, match=r"P2\.pt is not the file that it was when the wells"):
        disk.sites.read(everyone)
    with pytest.raises(InputError, match=r"P2\.pt is not the file that it was"):
        list(read_ahead(disk.sites, everyone.split(5)))
    path.unlink()
    with pytest.raises(InputError, match=r"P2\.pt is not the file that it was"):
        disk.sites.read(everyone)


def test_a_file_that_becomes_shorter_while_it_is_open_is_said(plates, tmp_path) -> None:
    _, disk = both(plates)
    everyone = torch.arange(len(disk.table))
    disk.sites.read(everyone)
    os.truncate(tmp_path / "plates" / "P2.pt", disk.sites.files[1].start + 10)
    with pytest.raises(InputError, match=r"P2\.pt is not the file that it was"):
        disk.sites.read(everyone)


def test_numbers_that_are_none_in_half_precision_are_said(plates) -> None:
    _, disk = both(plates)
    plane = disk.sites.correction.normalisation
    plane.sd[1] = 1e-9
    with pytest.raises(InputError, match="plate P2: features normalised by its negative controls"):
        disk.sites.read(torch.arange(len(disk.table)))


def test_features_under_another_plates_name_are_refused(plates, tmp_path) -> None:
    folder = tmp_path / "plates"
    (folder / "P2.pt").write_bytes((folder / "P1.pt").read_bytes())
    for placement in ("ram", "mmap"):
        with pytest.raises(InputError, match=r"features of plate P2 are those of plate P1"):
            wells_with_features(plates.load(), well_index(), TokenNormalisation.NONE, placement)


def test_more_plates_than_files_may_be_open_are_read(plates, monkeypatch) -> None:
    ram, disk = both(plates)
    monkeypatch.setattr(disk.sites._handles, "_most", 1)
    everyone = torch.arange(len(ram.table))
    assert torch.equal(disk.sites.read(everyone).tokens, ram.sites.tokens)
    assert len(disk.sites._handles._open) == 1
    assert [well_position(well) for well in disk.table[WELL]] == [
        tuple(place) for place in disk.sites.place_of_well.tolist()
    ]


def test_profiles_are_those_of_memory(plates) -> None:
    from morphoclip.models.config import ModelShape
    from morphoclip.models.morphoclip import MorphoCLIP

    data = [wells_of(found) for found in both(plates)]
    model = MorphoCLIP(NO_DROPOUT, ModelShape.of(data[0]))
    found = [embed(model, one, batch_size=7, device="cpu").image for one in data]
    assert (found[0] == found[1]).all()
