"""Names that pipelines, catalog entries, nodes and parameters had before, with their new names.

A command that uses an old name ends with a sentence that gives the new one.
"""

from collections.abc import Mapping

PIPELINES = {"look_up": "find_similar"}

DATASETS = {
    "profiles": "well_profiles",
    "baseline_queries": "baseline_per_perturbation_retrieval",
    "query_summary": "baseline_comparison",
    "rankers_figure": "baseline_comparison_figure",
    "look_alikes": "nearest_treatments",
    "looked_up": "similar_treatments",
    "cross_validation_queries": "cross_validation_per_perturbation_retrieval",
    "profiles_to_score": "external_profiles",
    "scored_benchmark": "external_benchmark_metrics",
    "scored_matching": "external_matching_metrics",
    "split_to_check": "external_split",
    "split_check": "external_split_leakage",
    "known_text_features": "text_feature_cache",
    "known_text_features_on_disk": "existing_text_feature_cache",
    "site_features_on_disk": "existing_site_features",
    "plate_records_on_disk": "existing_plate_records",
    "plate_features_on_disk": "existing_plate_features",
}

NODES = {
    "look_up": "find_similar",
    "measure_grey_levels": "extract_plates",
    "extract_site_features": "extract_plates",
    "pack_plates": "extract_plates",
    "score_profiles": "score_matching",
    "answer_questions": "find_treatments",
    "summarise_folds": "compare_over_folds",
    "score_users_profiles": "score_external_profiles",
    "report_on_split": "report_leakage",
}

PARAMETERS = {
    "look_up": "find_similar",
    "look_up.words": "find_similar.text",
    "look_up.treatment": "find_similar.treatment",
    "look_up.places": "find_similar.top_k",
    "evaluation.n_answers": "evaluation.top_k",
}


def renamed(kind: str, name: str, names: Mapping[str, str]) -> str:
    """The sentence for an old name."""
    return f"the {kind} {name} is now called {names[name]}"
