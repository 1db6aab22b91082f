"""Published figures of other work, each with what it was measured on; never mixed with ours."""

from typing import NamedTuple

from morphoclip.report.rendering import Section, render


class Published(NamedTuple):
    """One published figure."""

    what: str
    figure: str
    protocol: str
    source: str


PUBLISHED = (
    Published(
        "CellProfiler, replicability (fraction retrieved, mean of 12 tracks)",
        "0.528",
        "CPJUMP1, 40 plates, copairs 880f22a, all perturbations",
        "Chandrasekaran et al. 2024, benchmark/output",
    ),
    Published(
        "CellProfiler, matching of compounds (fraction retrieved, by track)",
        "0.043 to 0.251",
        "CPJUMP1, 40 plates, replicable compounds only",
        "Chandrasekaran et al. 2024, benchmark/output",
    ),
    Published(
        "CLOOME, image to molecule (top 1 / 5 / 10)",
        "18.4 / 41.5 / 56.2 %",
        "Cell Painting of Bray et al., random split, about 2,000 molecules",
        "Sanchez-Fernandez et al. 2023, table 3",
    ),
    Published(
        "the reference MorphoCLIP, perturbation recall@10, image to text",
        "37.2 to 44.2 %",
        "86 texts of all modalities, some of controls; knowing the modality gives 34.9 %",
        "its report, one seed",
    ),
    Published(
        "kernel ridge on CellProfiler profiles (MRR)",
        "0.308",
        "seven U2OS compound plates, 10 folds by entity, 30 to 31 texts, chance 0.131",
        "measured for this project",
    ),
)


def published_section() -> Section:
    """Published figures, folded away."""
    return Section("", render("published", published=PUBLISHED))
