"""Small plates with a known truth, in the gallery's own layout and formats.

Phenotypes follow the target gene: each gene's phenotype is mostly its family's, so that texts
(gene symbols of a family look alike) say something about perturbations never seen. Twelve gene
families are named as facts; compounds, guides and ORFs are invented.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morphoclip.columns import BROAD_SAMPLE, GENE, JUMP_TARGET, MODALITY, Modality
from morphoclip.gallery.rendering import (
    BACKGROUND,
    NUCLEAR,
    camera_image,
    render_site,
    uneven_light,
)
from morphoclip.gallery.synthetic_config import SyntheticConfig
from morphoclip.well_names import well_name

FAMILIES = {
    "tubulin inhibitor": ("TUBA1A", "TUBA1B", "TUBA4A", "TUBB4B", "TUBB6"),
    "proteasome inhibitor": ("PSMA1", "PSMB5", "PSMC2", "PSMD1", "PSMD14"),
    "CDK inhibitor": ("CDK1", "CDK2", "CDK4", "CDK6", "CDK9"),
    "HDAC inhibitor": ("HDAC1", "HDAC2", "HDAC3", "HDAC6", "HDAC8"),
    "HSP inhibitor": ("HSP90AA1", "HSP90AB1", "HSPA1A", "HSPA5", "HSPA8"),
    "PI3K inhibitor": ("PIK3CA", "PIK3CB", "PIK3CD", "PIK3CG", "PIK3R1"),
    "MAP kinase inhibitor": ("MAPK1", "MAPK3", "MAPK8", "MAPK11", "MAPK14"),
    "adrenergic receptor agonist": ("ADRA1A", "ADRA1B", "ADRA2A", "ADRB1", "ADRB2"),
    "dopamine receptor antagonist": ("DRD1", "DRD2", "DRD3", "DRD4", "DRD5"),
    "acetylcholine receptor antagonist": ("CHRM1", "CHRM2", "CHRM3", "CHRM4", "CHRM5"),
    "phosphodiesterase inhibitor": ("PDE3A", "PDE4A", "PDE4B", "PDE4D", "PDE5A"),
    "ATPase inhibitor": ("ATP1A1", "ATP1A2", "ATP1A3", "ATP1B1", "ATP1B2"),
}

_FAMILY_SHARE = 0.7


class GalleryTables(NamedTuple):
    """The metadata of a gallery, as the files hold it, and the truth behind it."""

    barcode_platemap: pd.DataFrame
    platemaps: dict[str, pd.DataFrame]
    jump_target_tables: dict[str, pd.DataFrame]
    experiment_metadata: pd.DataFrame
    annotations: pd.DataFrame
    truth: pd.DataFrame


class Plate(NamedTuple):
    """A synthetic plate."""

    barcode: str
    modality: Modality
    number: int

    @property
    def folder(self) -> str:
        """The plate folder, named as the microscope names it."""
        return f"{self.barcode}__2026-01-0{self.number}T12_00_00-Measurement1"


def gallery_tables(config: SyntheticConfig, batch: str) -> GalleryTables:
    """All tables of the gallery: platemaps, JUMP-Target tables, conditions, annotations, truth."""
    genes = _genes(config)
    plates = _plates(config)
    maps = {modality: f"Synthetic-1_{modality}_platemap" for modality in JUMP_TARGET}
    hours = {Modality.COMPOUND: 48, Modality.CRISPR: 144, Modality.ORF: 96}
    experiments = pd.DataFrame(
        {
            "Batch": batch,
            "Plate_Map_Name": [maps[plate.modality] for plate in plates],
            "Assay_Plate_Barcode": [plate.barcode for plate in plates],
            "Perturbation": [str(plate.modality) for plate in plates],
            "Cell_type": "U2OS",
            "Time": [hours[plate.modality] for plate in plates],
            "Density": 100,
            "Antibiotics": "absent",
            "Cell_line": ["Cas9" if p.modality is Modality.CRISPR else "Parental" for p in plates],
        }
    )
    targets = {f"Synthetic-1_{m}_metadata": _target_table(m, genes) for m in JUMP_TARGET}
    compounds = targets["Synthetic-1_compound_metadata"]
    family_of = dict(zip(genes["gene"], genes["family"], strict=True))
    return GalleryTables(
        barcode_platemap=experiments[["Assay_Plate_Barcode", "Plate_Map_Name"]],
        platemaps={maps[m]: _layout(config, m, targets) for m in JUMP_TARGET},
        jump_target_tables=targets,
        experiment_metadata=experiments,
        annotations=compounds.assign(
            moa_list=[family_of.get(gene, "") for gene in compounds["target"]]
        ),
        truth=truth_table(config),
    )


def truth_table(config: SyntheticConfig) -> pd.DataFrame:
    """The planted phenotype of every perturbation, one column a latent."""
    genes = _genes(config)
    latents = _latents(config)
    rng = np.random.default_rng([config.seed, 1])
    family_directions = _unit_rows(rng.standard_normal((config.families, len(latents))))
    gene_directions = _unit_rows(rng.standard_normal((len(genes), len(latents))))
    family_index = pd.factorize(genes["family"])[0]
    shared = np.sqrt(_FAMILY_SHARE) * family_directions[family_index]
    individual = np.sqrt(1 - _FAMILY_SHARE) * gene_directions
    phenotypes = config.phenotype_length * _unit_rows(shared + individual)
    parts = []
    for modality in JUMP_TARGET:
        noise = config.modality_noise * rng.standard_normal(phenotypes.shape)
        part = pd.DataFrame(phenotypes + noise, columns=latents)
        part.insert(0, "family", genes["family"])
        part.insert(0, GENE, genes["gene"])
        part.insert(0, BROAD_SAMPLE, [_sample_id(modality, i) for i in range(len(genes))])
        part.insert(0, MODALITY, str(modality))
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def render_wells(
    config: SyntheticConfig, truth: pd.DataFrame
) -> Iterator[tuple[str, dict[str, NDArray[np.uint16]]]]:
    """Every imaged well, as ``(plate folder, {file name: (H, W) image})``."""
    truth = truth.set_index([MODALITY, BROAD_SAMPLE])
    latents = _latents(config)
    tables = {f"Synthetic-1_{m}_metadata": _target_table(m, _genes(config)) for m in JUMP_TARGET}
    for plate_number, plate in enumerate(_plates(config)):
        rng = np.random.default_rng([config.seed, 2, plate_number])
        gains = np.exp(config.plate_gain_sd * rng.standard_normal(len(config.channels)))
        offsets = config.plate_offset_sd * rng.standard_normal(len(config.channels))
        tilt = uneven_light(config, rng)
        layout = _layout(config, plate.modality, tables)
        for well_number, (well, sample) in enumerate(
            zip(layout["well_position"], layout["broad_sample"], strict=True)
        ):
            key = (str(plate.modality), sample)
            if key not in truth.index and _is_empty(plate.modality, sample):
                continue
            rng = np.random.default_rng([config.seed, 3, plate_number, well_number])
            effect = truth.loc[key, latents].to_numpy(float) if key in truth.index else 0.0
            phenotype = effect + config.well_noise * rng.standard_normal(len(latents))
            effects = dict(zip(latents, phenotype, strict=True))
            images: dict[str, NDArray[np.uint16]] = {}
            for field in range(1, config.sites_per_well + 1):
                site = render_site(config, effects, rng) * gains[:, None, None] * tilt
                counts = site + (BACKGROUND + offsets)[:, None, None]
                images |= _files(config, well, field, camera_image(counts, rng))
            yield plate.folder, images


def _genes(config: SyntheticConfig) -> pd.DataFrame:
    rows = [
        (gene, family)
        for family, genes in list(FAMILIES.items())[: config.families]
        for gene in genes[: config.genes_per_family]
    ]
    return pd.DataFrame(rows, columns=["gene", "family"])


def _plates(config: SyntheticConfig) -> list[Plate]:
    return [
        Plate(f"SYN{config.digest}{str(modality)[:2].upper()}{number}", modality, number)
        for modality in JUMP_TARGET
        for number in range(1, config.plates_per_modality + 1)
    ]


def _latents(config: SyntheticConfig) -> list[str]:
    intensities = [f"intensity {channel}" for channel in config.channels]
    radial = [f"radial {channel}" for channel in config.channels if channel != NUCLEAR]
    return ["count", "nucleus", "cell", *intensities, *radial]


def _sample_id(modality: Modality, number: int) -> str:
    return f"SYN-{str(modality)[:2].upper()}-{number + 1:03d}"


def _control_ids(modality: Modality) -> list[str]:
    return [f"SYN-{str(modality)[:2].upper()}-N{number}" for number in range(1, 5)]


def _is_empty(modality: Modality, sample: str) -> bool:
    return modality is not Modality.COMPOUND and sample == ""


def _target_table(modality: Modality, genes: pd.DataFrame) -> pd.DataFrame:
    """A JUMP-Target table: treatments, one in eight a positive control, and negative controls."""
    number = len(genes)
    roles = [""] * number
    roles[: number // 8] = ["poscon_cp"] * (number // 8)
    samples = [_sample_id(modality, i) for i in range(number)]
    if modality is Modality.COMPOUND:
        names = [f"synthmol-{i + 1:03d}" for i in range(number)]
        return pd.DataFrame(
            {
                "broad_sample": [*samples, ""],
                "InChIKey": "",
                "pert_iname": [*names, "DMSO"],
                "target": [*genes["gene"], ""],
                "target_list": [*genes["gene"], ""],
                "control_type": [*roles, "negcon"],
                "smiles": "",
            }
        )
    controls = _control_ids(modality)
    control_genes = [""] * 4 if modality is Modality.CRISPR else ["SGK3", "CLOCK", "RHEB", "ATG5"]
    return pd.DataFrame(
        {
            "broad_sample": samples + controls,
            "gene": [*genes["gene"], *control_genes],
            "control_type": roles + ["negcon"] * 4,
        }
    )


def _layout(
    config: SyntheticConfig, modality: Modality, tables: Mapping[str, pd.DataFrame]
) -> pd.DataFrame:
    """A platemap in 16 rows: treatments and negative controls mixed, two wells left empty."""
    samples = list(tables[f"Synthetic-1_{modality}_metadata"]["broad_sample"])
    treated = [s for s in samples if s and s not in _control_ids(modality)]
    controls = [""] if modality is Modality.COMPOUND else _control_ids(modality)
    placed = treated + [controls[i % len(controls)] for i in range(config.negcon_wells)]
    order = np.random.default_rng([config.seed, 4, len(modality)]).permutation(len(placed))
    placed = [placed[i] for i in order]
    if modality is not Modality.COMPOUND:
        placed += ["", ""]
    wells = [well_name(1 + i % 16, 1 + i // 16) for i in range(len(placed))]
    return pd.DataFrame({"well_position": wells, "broad_sample": placed})


def _files(
    config: SyntheticConfig, well: str, field: int, site: NDArray[np.uint16]
) -> dict[str, NDArray[np.uint16]]:
    row, col = ord(well[0]) - 64, int(well[1:])
    return {
        f"r{row:02d}c{col:02d}f{field:02d}p01-ch{number}sk1fk1fl1.tiff": image
        for number, image in zip(config.channels.values(), site, strict=True)
    }


def _unit_rows(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))
