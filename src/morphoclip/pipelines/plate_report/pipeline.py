"""Plate report pipeline: plates to profiles, quality and replicability, without a model."""

from collections.abc import Callable

from kedro.pipeline import Node, Pipeline

from morphoclip.evaluation.anndata_profiles import wells_and_consensus
from morphoclip.pipelines.plate_report.nodes import (
    profile_plates,
    score_image_profiles,
    write_plate_report,
)
from morphoclip.report.rendering import Section, section_node
from morphoclip.report.sections.data import data_section
from morphoclip.report.sections.images import images_section
from morphoclip.report.sections.plates import plates_section
from morphoclip.report.sections.replicability import plate_replicability_section

# in the order of the page: the section, the tables that it reads, the figures that it draws
SECTIONS: tuple[tuple[Callable[..., Section], list[str], list[str]], ...] = (
    (
        plates_section,
        ["params:ingestion", "well_index", "image_profiles", "image_record"],
        ["plate_projection_figure"],
    ),
    (data_section, ["well_index", "set_aside_sites"], []),
    (images_section, ["site_qc", "plate_intensities", "well_quality", "well_index"], []),
    (plate_replicability_section, ["plate_benchmark_metrics"], ["plate_benchmark_figure"]),
)


def create_pipeline(**_: object) -> Pipeline:
    """Build ``plate_features`` -> ``image_profiles``, their AnnData and ``plate_report``."""
    names = [f"plate_{section.__name__}" for section, _, _ in SECTIONS]
    return Pipeline(
        [
            Node(
                func=profile_plates,
                inputs={
                    "plate_features": "plate_features",
                    "well_index": "well_index",
                    "well_quality": "well_quality",
                    "config": "params:plate_report",
                },
                outputs=["image_profiles", "image_record"],
                name="profile_plates",
            ),
            Node(
                func=score_image_profiles,
                inputs={
                    "image_profiles": "image_profiles",
                    "well_quality": "well_quality",
                    "config": "params:evaluation",
                },
                outputs="plate_benchmark_metrics",
                name="score_image_profiles",
            ),
            Node(
                func=wells_and_consensus,
                inputs={"profiles": "image_profiles", "config": "params:evaluation"},
                outputs=["image_anndata", "image_consensus_anndata"],
                name="write_anndata",
            ),
            *(
                Node(
                    func=section_node(section),
                    inputs=list(tables),
                    outputs={"section": name} | {figure: figure for figure in figures},
                    name=f"write_{section.__name__}",
                    namespace="report",
                )
                for name, (section, tables, figures) in zip(names, SECTIONS, strict=True)
            ),
            Node(
                func=write_plate_report,
                inputs=names,
                outputs="plate_report",
                name="write_plate_report",
                namespace="report",
            ),
        ]
    )
