"""Synthetic plates: tables as the readers take them, planted phenotypes, cells and camera."""

from itertools import islice

import numpy as np
import pytest

from morphoclip.columns import BROAD_SAMPLE, GENE, JUMP_TARGET, MOA_LIST, MODALITY, ROLE, SITE, WELL
from morphoclip.gallery.rendering import (
    BACKGROUND,
    LOG_EFFECT,
    NUCLEAR,
    camera_image,
    render_site,
    uneven_light,
)
from morphoclip.gallery.synthetic import FAMILIES, gallery_tables, render_wells, truth_table
from morphoclip.gallery.synthetic_config import SyntheticConfig
from morphoclip.imaging.file_names import NamePattern
from morphoclip.imaging.sites import FoundImage, index_plate
from morphoclip.perturbations.jump_target import perturbation_table
from morphoclip.schemas.ingestion import PERTURBATIONS

CHANNELS = {"ER": 4, NUCLEAR: 5}
SMALL = SyntheticConfig.model_validate(
    {
        "channels": CHANNELS, "families": 2, "genes_per_family": 4, "plates_per_modality": 1,
        "negcon_wells": 4, "sites_per_well": 2, "image_size": 16,
    }
)  # fmt: skip
LATENTS = ["count", "nucleus", "cell", "intensity ER", "intensity DNA", "radial ER"]


def changed(**settings: object) -> SyntheticConfig:
    return SyntheticConfig.model_validate(SMALL.model_dump() | settings)


def site(config: SyntheticConfig = SMALL, seed: int = 0, **effects: float) -> np.ndarray:
    known = dict.fromkeys(LATENTS, 0.0) | {k.replace("_", " "): v for k, v in effects.items()}
    return render_site(config, known, np.random.default_rng(seed))


def test_families_share_no_gene() -> None:
    genes = [gene for family in FAMILIES.values() for gene in family]
    assert len(FAMILIES) == 12
    assert len(set(genes)) == len(genes) == 60


def test_the_reader_of_jump_target_tables_finds_every_perturbation() -> None:
    tables = gallery_tables(SMALL, "synthetic")
    read = PERTURBATIONS.validate(
        perturbation_table(tables.jump_target_tables, tables.annotations)
    ).set_index([MODALITY, BROAD_SAMPLE])
    truth = tables.truth.set_index([MODALITY, BROAD_SAMPLE])
    assert read.loc[truth.index, GENE].tolist() == truth[GENE].tolist()
    roles = read.groupby(MODALITY)[ROLE].value_counts().unstack(fill_value=0)
    assert roles.loc["compound"].to_dict() == {"negcon": 1, "poscon_cp": 1, "trt": 7}
    assert roles.loc["crispr"].to_dict() == {"negcon": 4, "poscon_cp": 1, "trt": 7}
    assert roles.loc["orf"].to_dict() == {"negcon": 4, "poscon_cp": 1, "trt": 7}
    mechanisms = read.loc["compound"].loc[truth.loc["compound"].index, MOA_LIST]
    assert mechanisms.tolist() == ["tubulin inhibitor"] * 4 + ["proteasome inhibitor"] * 4


def test_every_plate_is_of_one_modality_and_has_a_map() -> None:
    tables = gallery_tables(changed(plates_per_modality=2), "batch 7")
    plates = tables.experiment_metadata
    assert plates["Perturbation"].tolist() == [str(m) for m in JUMP_TARGET for _ in range(2)]
    assert plates["Assay_Plate_Barcode"].is_unique
    assert set(plates["Batch"]) == {"batch 7"}
    assert set(plates["Plate_Map_Name"]) == set(tables.platemaps)
    assert tables.barcode_platemap.equals(plates[["Assay_Plate_Barcode", "Plate_Map_Name"]])
    cell_lines = plates.groupby("Perturbation")["Cell_line"].first().to_dict()
    assert cell_lines == {"compound": "Parental", "crispr": "Cas9", "orf": "Parental"}


def test_a_platemap_holds_each_treatment_once_and_the_negative_controls_beside_them() -> None:
    tables = gallery_tables(changed(negcon_wells=6), "synthetic")
    for modality in JUMP_TARGET:
        layout = tables.platemaps[f"Synthetic-1_{modality}_platemap"]
        own = tables.truth.loc[tables.truth[MODALITY] == modality, BROAD_SAMPLE]
        assert layout["well_position"].is_unique
        rest = layout[~layout["broad_sample"].isin(own)]["broad_sample"].tolist()
        assert len(layout) - len(rest) == len(own) == 8
        prefix = f"SYN-{str(modality)[:2].upper()}-N"
        controls = [f"{prefix}{n}" for n in (1, 1, 2, 2, 3, 4)] + ["", ""]
        assert sorted(rest) == sorted([""] * 6 if modality == "compound" else controls)


def test_the_gallery_is_the_same_again_and_another_with_another_seed() -> None:
    one, again = gallery_tables(SMALL, "b"), gallery_tables(SMALL, "b")
    other = gallery_tables(changed(seed=1), "b")
    assert one.truth.equals(again.truth)
    assert not one.truth.equals(other.truth)
    name = "Synthetic-1_orf_platemap"
    assert one.platemaps[name].equals(again.platemaps[name])
    assert not one.platemaps[name].equals(other.platemaps[name])
    barcodes = [set(t.barcode_platemap["Assay_Plate_Barcode"]) for t in (one, again, other)]
    assert barcodes[0] == barcodes[1]
    assert barcodes[0].isdisjoint(barcodes[2])


def test_without_noise_modalities_share_phenotypes_of_the_given_length() -> None:
    truth = truth_table(changed(modality_noise=0, phenotype_length=3.0))
    assert list(truth.columns) == [MODALITY, BROAD_SAMPLE, GENE, "family", *LATENTS]
    by_modality = [rows[LATENTS].to_numpy() for _, rows in truth.groupby(MODALITY)]
    np.testing.assert_allclose(np.linalg.norm(by_modality[0], axis=1), 3.0)
    for other in by_modality[1:]:
        np.testing.assert_array_equal(other, by_modality[0])


def test_noise_between_modalities_has_the_given_spread() -> None:
    plain, noisy = (
        truth_table(SMALL.model_copy(update={"families": 12, "modality_noise": noise}))[LATENTS]
        for noise in (0.0, 0.5)
    )
    assert (noisy - plain).to_numpy().std() == pytest.approx(0.5, rel=0.1)


def test_genes_of_a_family_look_more_alike_than_others() -> None:
    cosines: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(20):
        truth = truth_table(changed(seed=seed, modality_noise=0, phenotype_length=1))
        genes = truth[truth[MODALITY] == "orf"]
        cosine = genes[LATENTS].to_numpy() @ genes[LATENTS].to_numpy().T
        family = genes["family"].to_numpy()
        pairs = np.triu(np.ones_like(cosine, dtype=bool), 1)
        for same in (True, False):
            cosines[same] += cosine[pairs & ((family[:, None] == family) == same)].tolist()
    assert np.mean(cosines[True]) == pytest.approx(0.7, abs=0.05)
    assert np.mean(cosines[False]) == pytest.approx(0, abs=0.15)


def test_every_well_that_is_not_empty_is_imaged_at_every_site_in_every_channel() -> None:
    wells: dict[str, dict[str, np.ndarray]] = {}
    tables = gallery_tables(SMALL, "synthetic")
    for folder, images in render_wells(SMALL, tables.truth):
        wells.setdefault(folder, {}).update(images)
    plates = tables.experiment_metadata
    assert [folder.split("__")[0] for folder in wells] == plates["Assay_Plate_Barcode"].tolist()
    for images, map_name in zip(wells.values(), plates["Plate_Map_Name"], strict=True):
        assert len({image.tobytes() for image in images.values()}) == len(images), "no two alike"
        assert {(image.shape, image.dtype.str) for image in images.values()} == {((16, 16), "<u2")}
        keys = {name: NamePattern("opera_phenix").read(name) for name in images}
        found = [
            FoundImage("x", key.well, key.site, key.channel, name)
            for name, key in keys.items()
            if key is not None
        ]
        indexed = index_plate("x", found, CHANNELS)
        assert indexed.set_aside.empty
        sites = indexed.site_index.groupby(WELL)[SITE].unique()
        assert [list(own) for own in sites] == [[1, 2]] * 12
        layout = tables.platemaps[map_name]
        imaged = layout if "compound" in map_name else layout[layout["broad_sample"] != ""]
        assert list(sites.index) == sorted(imaged["well_position"])


def test_a_well_looks_the_same_however_many_wells_are_drawn() -> None:
    truth = truth_table(SMALL)
    one, again = (list(islice(render_wells(SMALL, truth), n)) for n in (3, 5))
    for (folder, images), (same_folder, same_images) in zip(one, again[:3], strict=True):
        assert folder == same_folder
        assert list(images) == list(same_images)
        for name, image in images.items():
            np.testing.assert_array_equal(image, same_images[name])


def test_a_stronger_stain_multiplies_its_own_channel() -> None:
    plain = site()
    stained = site(intensity_ER=1.5)
    assert plain.shape == (2, 16, 16)
    np.testing.assert_allclose(stained[0], plain[0] * np.exp(LOG_EFFECT["intensity"] * 1.5))
    np.testing.assert_array_equal(stained[1], plain[1])


def test_a_cell_away_from_the_edge_is_drawn_whole_and_stretched_without_growing() -> None:
    config = changed(image_size=256)
    one_cell = -np.log(14) / LOG_EFFECT["count"]
    areas = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        number, centre = rng.poisson(1), rng.uniform(0, 256, 2)
        if number == 1 and ((centre > 40) & (centre < 216)).all():
            image = site(config, seed=seed, count=one_cell)
            areas.append([np.count_nonzero(channel) for channel in image])
    cell, nucleus = np.array(areas).T
    assert len(areas) > 20
    assert cell == pytest.approx(np.full(len(areas), np.pi * 22.5**2), rel=0.03)
    assert nucleus == pytest.approx(np.full(len(areas), np.pi * 10.5**2), rel=0.05)


def test_larger_nuclei_cover_more_of_the_nuclear_channel_and_larger_cells_of_the_others() -> None:
    config = changed(image_size=64)
    plain, nuclei, cells = site(config), site(config, nucleus=2), site(config, cell=2)
    np.testing.assert_array_equal(nuclei[0], plain[0])
    np.testing.assert_array_equal(cells[1], plain[1])
    assert np.count_nonzero(nuclei[1]) > np.count_nonzero(plain[1])
    assert np.count_nonzero(cells[0]) > np.count_nonzero(plain[0])
    np.testing.assert_array_equal(nuclei[1] >= plain[1] * (1 - 1e-12), np.full((64, 64), True))


def test_a_radial_phenotype_moves_stain_from_the_middle_to_the_rim() -> None:
    config = changed(image_size=64)
    plain, rim = site(config), site(config, radial_ER=1)
    np.testing.assert_array_equal(rim[1], plain[1])
    seen = plain[0] > 0
    ratio = rim[0][seen] / plain[0][seen]
    bound = np.exp(LOG_EFFECT["radial"])
    assert ratio.min() < 1 < ratio.max()
    assert (ratio >= 1 / bound - 1e-12).all()
    assert (ratio <= bound + 1e-12).all()


def test_the_number_of_cells_follows_its_phenotype() -> None:
    def mean_brightness(count: float) -> float:
        return float(np.mean([site(seed=seed, count=count)[1].mean() for seed in range(150)]))

    ratio = mean_brightness(2.0) / mean_brightness(0.0)
    assert ratio == pytest.approx(np.exp(2 * LOG_EFFECT["count"]), rel=0.1)
    np.testing.assert_array_equal(site(count=-100), np.zeros((2, 16, 16)))


def test_uneven_light_is_a_tilted_plane_of_mean_one() -> None:
    light = uneven_light(changed(illumination_tilt=0.2), np.random.default_rng(0))
    assert light.shape == (16, 16)
    assert light.mean() == pytest.approx(1)
    np.testing.assert_allclose(np.diff(light, n=2, axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(np.diff(light, n=2, axis=1), 0, atol=1e-12)
    slope = np.array([light[-1, 0] - light[0, 0], light[0, -1] - light[0, 0]]) / 2
    assert np.linalg.norm(slope) == pytest.approx(0.2)
    even = uneven_light(changed(illumination_tilt=0), np.random.default_rng(0))
    np.testing.assert_array_equal(even, np.ones((16, 16)))


def test_the_cameras_noise_is_that_of_photons_and_of_reading() -> None:
    counts = np.full((400, 400), BACKGROUND)
    image = camera_image(counts, np.random.default_rng(0)).astype(float)
    assert image.mean() == pytest.approx(BACKGROUND, abs=0.3)
    assert image.var() == pytest.approx(BACKGROUND + 15**2, rel=0.02)


def test_the_camera_has_sixteen_bits_and_no_black_pixel() -> None:
    image = camera_image(np.array([[-1e6, 0.0, 1e6]]), np.random.default_rng(0))
    assert image.dtype == np.uint16
    assert image[0, [0, 2]].tolist() == [1, 65535]
    with pytest.raises(ValueError, match="not finite"):
        camera_image(np.array([[np.inf]]), np.random.default_rng(0))


def test_a_plates_name_changes_with_any_setting() -> None:
    others = [
        changed(**{name: value})
        for name, value in {"seed": 1, "families": 3, "well_noise": 0.4, "image_size": 32}.items()
    ]
    digests = [config.digest for config in (SMALL, *others)]
    assert len(set(digests)) == 5
    assert SMALL.digest == changed().digest
