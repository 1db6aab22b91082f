"""The benchmark: toys, scikit-learn, noise, planted effects, real profiles."""

import gzip

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score
from sklearn.preprocessing import normalize
from synthetic_profiles import layout, noise

from morphoclip.columns import (
    BROAD_SAMPLE,
    CELL_TYPE,
    CONDITION,
    GENE,
    MODALITY,
    PLATE,
    REFERENCE,
    ROLE,
    SUBSET,
    TARGET_LIST,
    WELL,
)
from morphoclip.metrics.average_precision import expected_average_precision
from morphoclip.metrics.benchmark import benchmark
from morphoclip.metrics.chance import NullConfig
from morphoclip.metrics.embedding_quality import plate_silhouette
from morphoclip.metrics.ranked_pairs import replicate_precisions
from morphoclip.schemas.evaluation import BENCHMARK_METRICS

NULL = NullConfig(size=2000, seed=0)


def of(table: pd.DataFrame, task: str, stratum: str = "all") -> pd.Series:
    rows = BENCHMARK_METRICS.validate(table).set_index(["task", "stratum"])
    return rows.loc[(task, stratum)]


def replicability(table: pd.DataFrame, matrix: np.ndarray) -> pd.DataFrame:
    is_control = table["control"].to_numpy() == 1
    codes = (pd.factorize(table[column])[0] for column in (BROAD_SAMPLE, PLATE))
    return replicate_precisions(matrix, *codes, queries=~is_control, others=is_control).beside(
        table
    )


@pytest.mark.parametrize(
    ("positive", "total", "expected"),
    [(3, 67, 0.09962), (7, 71, 0.14813), (3, 63, 0.10489), (7, 67, 0.15589)],
)
def test_expected_average_precision(positive: int, total: int, expected: float) -> None:
    assert expected_average_precision(positive, total) == pytest.approx(expected, abs=5e-6)


def test_the_replicability_toy() -> None:
    wells = [("A", (1, 0)), ("B", (0, 1)), ("D", (0.6, 0.8)), ("D", (0.6, 0.8))]
    wells2 = [("A", (1, 0)), ("B", (-1, 0)), ("D", (-0.8, 0.6)), ("D", (0.8, 0.6))]
    rows = [
        (plate, i, *well) for plate, w in (("1", wells), ("2", wells2)) for i, well in enumerate(w)
    ]
    table = pd.DataFrame({PLATE: [r[0] for r in rows], BROAD_SAMPLE: [r[2] for r in rows]}).assign(
        control=[int(r[2] == "D") for r in rows]
    )
    scores = replicability(table, np.array([r[3] for r in rows], dtype=float))
    means = scores.groupby(BROAD_SAMPLE)["average_precision"].mean()
    assert means.to_dict() == pytest.approx({"A": 1.0, "B": 0.4166667}, abs=1e-6)


def test_average_precision_is_scikit_learns() -> None:
    table = layout(2, 10, 8)
    matrix = noise(table)
    table["control"] = (table[ROLE] == "negcon").astype(int)
    scores = replicability(table, matrix)
    unit = normalize(matrix.astype(np.float32))
    scores = scores.set_index([PLATE, WELL])["average_precision"]
    for row in np.flatnonzero(table["control"] == 0):
        mine = table.iloc[row]
        positive = (table[BROAD_SAMPLE] == mine[BROAD_SAMPLE]).to_numpy()
        negative = ((table[PLATE] == mine[PLATE]) & (table["control"] == 1)).to_numpy()
        others = (positive | negative) & (np.arange(len(table)) != row)
        expected = average_precision_score(positive[others], (unit @ unit[row])[others])
        assert scores[mine[PLATE], mine[WELL]] == pytest.approx(expected, abs=1e-6)


def test_pure_noise_is_at_chance_and_retrieves_nothing() -> None:
    table = layout()
    result = of(benchmark(table, noise(table), NULL, profiles="noise"), "replicability")
    assert result["mean_average_precision"] == pytest.approx(result["chance"], abs=0.03)
    assert result["fraction_retrieved"] <= 0.05
    assert result["fraction_retrieved_legacy"] <= 0.1
    assert result["n_groups"] == 40


def test_planted_treatments_replicate_in_every_stratum() -> None:
    table = layout()
    effect = np.random.default_rng(1).standard_normal((41, 16))
    codes = pd.factorize(table[BROAD_SAMPLE], sort=True)[0]
    result = benchmark(table, effect[codes] + 0.3 * noise(table), NULL, profiles="planted")
    for stratum in ("all", "train", "test"):
        row = of(result, "replicability", stratum)
        assert row["mean_average_precision"] > 0.9
        assert row["fraction_retrieved"] > 0.9
    assert of(result, "replicability", "train")["n_groups"] == 20


def test_a_plate_effect_raises_the_silhouette_and_not_replicability() -> None:
    table = layout()
    plates = pd.factorize(table[PLATE])[0]
    shifted = noise(table) + 6 * np.random.default_rng(2).standard_normal((4, 16))[plates]
    result = of(benchmark(table, shifted, NULL, profiles="plates"), "replicability")
    assert result["mean_average_precision"] < 1.5 * result["chance"]
    assert result["fraction_retrieved"] <= 0.05
    treated = (table[ROLE] == "trt").to_numpy()
    for matrix, low, high in ((shifted, 0.5, 1.0), (noise(table), -0.1, 0.1)):
        value = plate_silhouette(table[treated], normalize(matrix[treated]))
        assert low < value < high


def test_a_position_effect_is_given_away_by_controls_at_one_position() -> None:
    table = layout()
    position = pd.factorize(table[WELL])[0]
    layout_effect = 3 * np.random.default_rng(3).standard_normal((72, 16))[position]
    result = benchmark(table, noise(table) + layout_effect, NULL, profiles="layout")
    assert of(result, "replicability")["fraction_retrieved"] > 0.9
    assert of(result, "same_position_controls")["fraction_retrieved"] > 0.9
    clean = benchmark(table, noise(table), NULL, profiles="noise")
    assert of(clean, "same_position_controls")["fraction_retrieved"] <= 0.05


def test_controls_of_the_fit_are_not_scored_against() -> None:
    table = layout()
    matrix = noise(table)
    control = table.index[table[ROLE] == "negcon"]
    fitted = table.copy()
    fitted.loc[control[::2], REFERENCE] = True
    matrix[control[::2]] = 0.001 * matrix[control[::2]] + matrix[0]  # as a fit would leave them
    chance = of(benchmark(fitted, matrix, NULL, profiles="x"), "replicability")["chance"]
    assert chance == pytest.approx(expected_average_precision(3, 3 + 16))


def test_a_collapsed_embedding_is_flagged_and_not_scored() -> None:
    table = layout()
    result = benchmark(table, np.ones((len(table), 16)), NULL, profiles="collapsed")
    assert result["flag"].str.startswith("ties").all()
    assert result["mean_average_precision"].isna().all()


def test_a_track_that_knows_its_modality_and_no_more_is_flagged() -> None:
    both = pd.concat([layout(), layout(modality="crispr")], ignore_index=True)
    alike = np.eye(2)[(both[MODALITY] == "crispr").astype(int)]
    result = benchmark(both, alike, NULL, profiles="modality")
    assert result["flag"].str.startswith("ties").all()
    assert result["task"].tolist() == ["replicability", "same_position_controls"] * 2
    assert result["mean_average_precision"].isna().all()


@pytest.mark.parametrize(
    "labels",
    [["X|Y"] + ["X"] * 6 + ["Y"] * 6, ["X"] * 6 + ["Y"] * 6 + ["X|Y"], ["X|Y"] * 12],
    ids=["first", "last", "all"],
)
def test_compounds_that_share_a_target_with_all_others_have_no_negatives(labels: list) -> None:
    table = layout(4, len(labels), 16)
    codes = pd.factorize(table[BROAD_SAMPLE], sort=True)[0]
    targets = {f"compound-{n}": own for n, own in enumerate(labels)}
    table[TARGET_LIST] = table[BROAD_SAMPLE].map(targets)
    effect = np.random.default_rng(0).standard_normal((len(labels) + 1, 16))
    result = benchmark(table, effect[codes] + 0.1 * noise(table), NULL, profiles="hub")
    matching = result[(result["task"] == "matching") & (result["stratum"] == "all")]
    assert len(matching) == (0 if labels[0] == labels[-1] else 1)


def test_one_control_a_plate_is_not_compared_with_itself() -> None:
    table = layout(2, 10, 1)
    result = benchmark(table, noise(table), NULL, profiles="x")
    assert "same_position_controls" not in set(result["task"])


def with_doses(n_compounds: int, genes: list[str]) -> tuple[pd.DataFrame, np.ndarray]:
    """Each compound in two doses that look exactly alike, beside controls that look like none."""
    wells = layout(n_plates=4, n_treatments=2 * n_compounds, n_controls=16)
    number = wells[BROAD_SAMPLE].str.extract(r"-(\d+)$", expand=False).astype(float)
    compound = (number // 2).fillna(-1).astype(int)
    dose = (number % 2).map({0.0: "1 µM", 1.0: "10 µM"})
    treated = wells[ROLE] == "trt"
    names = "drug-" + compound.astype(str) + " @ " + dose
    targets = compound.map(lambda c: genes[c] if c >= 0 else None)
    wells = wells.assign(
        **{BROAD_SAMPLE: names.where(treated, "DMSO"), GENE: targets, TARGET_LIST: targets}
    )
    look = np.eye(64)[compound.to_numpy()] * treated.to_numpy()[:, None]
    return wells, normalize(look + 0.05 * noise(wells, dim=64))


def test_two_doses_of_a_compound_are_no_target_mates() -> None:
    table = benchmark(*with_doses(8, [f"G{n}" for n in range(8)]), NULL, profiles="x")
    assert of(table, "replicability")["mean_average_precision"] > 0.99
    assert not (table["task"] == "matching").any()  # no two compounds share a target


def test_compounds_of_one_target_are_matched_across_their_doses_only() -> None:
    table = benchmark(*with_doses(8, [f"G{n // 2}" for n in range(8)]), NULL, profiles="x")
    scored = of(table, "matching")
    assert scored["n_groups"] == 4
    # a compound's own other dose looks just like it, and counts neither for nor against
    assert abs(scored["mean_average_precision"] - scored["chance"]) < 0.2


def two_modalities(strength: float) -> tuple[pd.DataFrame, np.ndarray]:
    both = pd.concat([layout(), layout(modality="crispr")], ignore_index=True)
    genes = pd.factorize(both[GENE].fillna("none"), sort=True)[0]
    effect = np.random.default_rng(4).standard_normal((21, 24))
    own = np.random.default_rng(5).standard_normal((81, 24))
    samples = pd.factorize(both[BROAD_SAMPLE] + both[MODALITY], sort=True)[0]
    matrix = strength * effect[genes] + 0.6 * own[samples % 81]
    return both, matrix + 0.3 * noise(both, dim=24)


def test_sister_guides_and_gene_compound_pairs_match_where_it_is_planted() -> None:
    table, matrix = two_modalities(strength=1.5)
    result = benchmark(table, matrix, NULL, profiles="planted")
    rows = result[result["stratum"] == "all"].set_index(["task", "track"])
    guides = rows.loc[("matching", "crispr|U2OS")]
    assert guides["mean_average_precision"] > 2 * guides["chance"]
    pairs = rows.loc[("gene_compound", "compound|U2OS and crispr|U2OS")]
    assert pairs["mean_average_precision"] > 2 * pairs["chance"]
    assert pairs["n_groups"] == 20
    table, matrix = two_modalities(strength=0.0)
    blind = benchmark(table, matrix, NULL, profiles="own effects only")
    rows = blind[blind["stratum"] == "all"].set_index("task")
    assert (
        rows.loc["gene_compound", "mean_average_precision"]
        < 1.6 * rows.loc["gene_compound", "chance"]
    )


def test_few_pairs_make_a_null_too_coarse_to_be_read() -> None:
    table = layout(n_plates=1, n_treatments=6, n_controls=4)
    table[BROAD_SAMPLE] = table[BROAD_SAMPLE].replace({"compound-1": "compound-0"})
    result = of(benchmark(table, noise(table), NULL, profiles="x"), "replicability")
    assert result["flag"] == "null too coarse: few pairs"


def test_published_profiles_of_real_plates_replicate(gallery) -> None:
    parts = []
    for path in sorted(gallery.rglob("*_normalized_feature_select_negcon_batch.csv.gz")):
        with gzip.open(path) as file:
            parts.append(pd.read_csv(file))
    table = pd.concat(parts, ignore_index=True)
    table = table[table[PLATE] != "BR00117024"].reset_index(drop=True)  # the two of 48 h
    numbers = [c for c in table if not c.startswith("Metadata_")]
    matrix = table[numbers].to_numpy(dtype=float)
    matrix = matrix[:, np.isfinite(matrix).all(axis=0)]
    metadata = table[[PLATE, WELL, BROAD_SAMPLE]].assign(
        **{
            ROLE: np.where(table[BROAD_SAMPLE].isna(), "negcon", "trt"),
            BROAD_SAMPLE: table[BROAD_SAMPLE].fillna("DMSO"),
            MODALITY: "compound",
            CONDITION: "compound|U2OS|48",
            CELL_TYPE: "U2OS",
            GENE: None,
            TARGET_LIST: None,
            SUBSET: "test",
            REFERENCE: False,
        }
    )
    result = of(benchmark(metadata, matrix, NULL, profiles="CellProfiler"), "replicability")
    assert result["n_groups"] == 306
    assert result["mean_average_precision"] > 4 * result["chance"]
    assert 0.3 < result["fraction_retrieved"] < 1
