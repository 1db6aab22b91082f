"""The table of contents: every pipeline by name."""

from kedro.pipeline import Pipeline

from morphoclip.pipelines import (
    check_split,
    cross_validation,
    demo_gallery,
    embed_plates,
    evaluation,
    gene_annotations,
    image_features,
    import_features,
    ingestion,
    look_up,
    profiles,
    score_profiles,
    splitting,
    text_features,
    training,
    verify_features,
)


def register_pipelines() -> dict[str, Pipeline]:
    """Plain ``kedro run`` goes from images to the report; ``profiles`` does so without images."""
    stages = {
        "ingestion": ingestion.create_pipeline(),
        "image_features": image_features.create_pipeline(),
        "text_features": text_features.create_pipeline(),
        "splitting": splitting.create_pipeline(),
        "training": training.create_pipeline(),
        "evaluation": evaluation.create_pipeline(),
    }
    from_text_on = sum(
        (stages[name] for name in ("text_features", "splitting", "training", "evaluation")),
        Pipeline([]),
    )
    return stages | {
        "profiles": profiles.create_pipeline() + from_text_on,
        "verify_features": verify_features.create_pipeline(),
        "import_features": import_features.create_pipeline(),
        "gene_annotations": gene_annotations.create_pipeline(),
        "cross_validation": cross_validation.create_pipeline(),
        "check_split": check_split.create_pipeline(),
        "embed_plates": embed_plates.create_pipeline(),
        "look_up": look_up.create_pipeline(),
        "score_profiles": score_profiles.create_pipeline(),
        "demo_gallery": demo_gallery.create_pipeline(),
        "__default__": stages["ingestion"] + stages["image_features"] + from_text_on,
    }
