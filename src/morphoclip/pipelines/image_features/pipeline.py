"""Image pipeline: TIFFs to frozen CLS features, plate after plate, packed by plate."""

from kedro.pipeline import Node, Pipeline

from morphoclip.pipelines.image_features.nodes import check_packed, collect_qc, extract_plates


def create_pipeline(
    settings: str = "params:image_features", adapters: str = "adapters", **_: object
) -> Pipeline:
    """Build ``site_index``, ``plate_images`` -> ``site_features`` and ``plate_features``."""
    return Pipeline(
        [
            Node(
                func=extract_plates,
                inputs={
                    "site_index": "site_index",
                    "plate_images": "plate_images",
                    "illumination_functions": "illumination_functions",
                    "existing_features": "existing_site_features",
                    "existing_tensors": "existing_site_tensors",
                    "existing_records": "existing_plate_records",
                    "existing_plates": "existing_plate_features",
                    "adapters": adapters,
                    "ingestion": "params:ingestion",
                    "config": settings,
                    "fetch": "params:fetch",
                },
                outputs={
                    "intensities": "plate_intensities",
                    "records": "plate_records",
                    "site_qc": "site_qc_parts",
                    "thumbnails": "thumbnails",
                    "features": "site_features",
                    "tensors": "site_tensors",
                    "packed": "plate_features",
                },
                name="extract_plates",
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
                func=check_packed,
                inputs={
                    "site_index": "site_index",
                    "plate_features": "plate_features",
                    "set_aside_sites": "set_aside_sites",
                    "ingestion": "params:ingestion",
                },
                outputs=None,
                name="check_packed",
            ),
        ]
    )
