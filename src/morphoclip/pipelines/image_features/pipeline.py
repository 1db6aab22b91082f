"""Image pipeline: TIFFs to frozen CLS features, site by site, then packed by plate."""

from kedro.pipeline import Node, Pipeline

from morphoclip.pipelines.image_features.nodes import (
    collect_qc,
    extract_site_features,
    measure_grey_levels,
    pack_plates,
)


def create_pipeline(
    settings: str = "params:image_features", adapters: str = "adapters", **_: object
) -> Pipeline:
    """Build ``site_index``, ``plate_images`` -> ``site_features`` -> ``plate_features``."""
    return Pipeline(
        [
            Node(
                func=measure_grey_levels,
                inputs={
                    "site_index": "site_index",
                    "plate_images": "plate_images",
                    "illumination_functions": "illumination_functions",
                    "existing_records": "existing_plate_records",
                    "ingestion": "params:ingestion",
                    "config": settings,
                },
                outputs="plate_intensities",
                name="measure_grey_levels",
            ),
            Node(
                func=extract_site_features,
                inputs={
                    "site_index": "site_index",
                    "plate_images": "plate_images",
                    "plate_intensities": "plate_intensities",
                    "illumination_functions": "illumination_functions",
                    "existing_features": "existing_site_features",
                    "existing_tensors": "existing_site_tensors",
                    "existing_records": "existing_plate_records",
                    "adapters": adapters,
                    "ingestion": "params:ingestion",
                    "config": settings,
                },
                outputs={
                    "records": "plate_records",
                    "site_qc": "site_qc_parts",
                    "thumbnails": "thumbnails",
                    "features": "site_features",
                    "tensors": "site_tensors",
                },
                name="extract_site_features",
            ),
            Node(
                func=collect_qc,
                inputs={
                    "site_index": "site_index",
                    "incomplete_sites": "incomplete_sites",
                    "site_qc_parts": "site_qc_parts",
                    "site_features": "site_features",
                    "well_index": "well_index",
                    "ingestion": "params:ingestion",
                },
                outputs=["site_qc", "set_aside_sites", "well_quality"],
                name="collect_qc",
            ),
            Node(
                func=pack_plates,
                inputs={
                    "site_index": "site_index",
                    "site_features": "site_features",
                    "existing_records": "plate_records",
                    "existing_plates": "existing_plate_features",
                    "set_aside_sites": "set_aside_sites",
                    "ingestion": "params:ingestion",
                },
                outputs="plate_features",
                name="pack_plates",
            ),
        ]
    )
