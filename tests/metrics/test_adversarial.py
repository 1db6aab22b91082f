"""Embeddings that know one thing alone, each with the verdict that it deserves."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from synthetic_profiles import layout, noise

from morphoclip.columns import BROAD_SAMPLE, CONDITION, PLATE, SUBSET, WELL
from morphoclip.metrics.average_precision import Scored
from morphoclip.metrics.benchmark import benchmark
from morphoclip.metrics.chance import NullConfig
from morphoclip.metrics.matching import CONTROL_POSITIONS, identification

NULL = NullConfig(size=1000, seed=0)
TABLE = layout(n_plates=4, n_treatments=40, n_controls=32)


def one_hot(column: pd.Series) -> np.ndarray:
    codes, names = pd.factorize(column, sort=True)
    return np.eye(len(names))[codes]


def noisy(matrix: np.ndarray) -> np.ndarray:
    """Noise of a tenth of the signal's length along each of a hundred dimensions more."""
    beside = 0.1 * np.random.default_rng(5).standard_normal((len(matrix), matrix.shape[1]))
    return matrix + beside / np.sqrt(matrix.shape[1]) * 3


ROWS, COLUMNS = TABLE[WELL].str[0], TABLE[WELL].str[1:]
KNOWN = {
    "noise": noise(TABLE, dim=40),
    "constant": np.ones((len(TABLE), 40)),
    "plate": one_hot(TABLE[PLATE]),
    "well": one_hot(TABLE[WELL]),
    "position": np.hstack([one_hot(ROWS), one_hot(COLUMNS)]),
    "compound": one_hot(TABLE[BROAD_SAMPLE]),
}
PERMUTED = np.concatenate(
    [
        np.random.default_rng(number).permutation(rows.index)
        for number, (_, rows) in enumerate(TABLE.groupby(PLATE))
    ]
)


class Verdict(NamedTuple):
    """What the benchmark has to say of replicability: retrieved, and the flag's first word."""

    retrieved: bool
    flag: str | None


NOTHING, TIES = Verdict(False, None), Verdict(False, "ties")
POSITION, BIOLOGY = Verdict(True, "position"), Verdict(True, None)


@pytest.mark.parametrize(
    ("name", "matrix", "verdict"),
    [
        ("noise", KNOWN["noise"], NOTHING),
        ("constant", KNOWN["constant"], TIES),
        ("constant, noisy", noisy(KNOWN["constant"]), NOTHING),
        ("plate", KNOWN["plate"], NOTHING),
        ("plate, noisy", noisy(KNOWN["plate"]), NOTHING),
        ("well", KNOWN["well"], POSITION),
        ("well, noisy", noisy(KNOWN["well"]), POSITION),
        ("position", KNOWN["position"], POSITION),
        ("position, noisy", noisy(KNOWN["position"]), POSITION),
        ("compound", KNOWN["compound"], BIOLOGY),
        ("compound, noisy", noisy(KNOWN["compound"]), BIOLOGY),
        ("compound and plate", np.hstack([KNOWN["compound"], 0.7 * KNOWN["plate"]]), BIOLOGY),
        ("compound, wells permuted", noisy(KNOWN["compound"])[PERMUTED], NOTHING),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_replicability_has_the_verdict_it_deserves(
    name: str, matrix: np.ndarray, verdict: Verdict
) -> None:
    table = benchmark(TABLE, matrix, NULL, profiles=name)
    row = table[(table["task"] == "replicability") & (table["stratum"] == "all")].iloc[0]
    flag = row["flag"].split(":")[0] if isinstance(row["flag"], str) else None
    assert flag == verdict.flag
    if flag == "ties":
        assert np.isnan(row["mean_average_precision"])
    elif verdict.retrieved:
        assert row["fraction_retrieved"] > 0.9
    else:
        assert row["fraction_retrieved"] <= 0.1
        assert row["mean_average_precision"] < row["chance"] + 0.1


def test_a_perfect_embedding_is_not_called_tied_but_its_target_matches_are() -> None:
    """Compounds at right angles are all equally unlike: no target is told from another."""
    plain = benchmark(TABLE, KNOWN["compound"], NULL, profiles="x").set_index(["task", "stratum"])
    assert plain.loc[("replicability", "all"), "mean_average_precision"] == 1
    assert plain.loc[("matching", "all"), "flag"].startswith("ties")
    assert np.isnan(plain.loc[("replicability", "all"), "same_position"])
    both = benchmark(TABLE, noisy(KNOWN["compound"]), NULL, profiles="x").set_index(
        ["task", "stratum"]
    )
    matched = both.loc[("matching", "all")]
    assert matched["mean_average_precision"] < matched["chance"] + 0.1
    assert both.loc[("replicability", "all"), "same_position"] < 0.25


def test_control_positions_are_identified_by_what_knows_positions() -> None:
    def recall(matrix: np.ndarray) -> tuple[float, float]:
        rows = identification(TABLE, matrix)
        at_one = rows[(rows["metric"] == "recall@1") & (rows["stratum"] == "all")]
        values = at_one.set_index("task")["value"]
        return values["identification"], values[CONTROL_POSITIONS]

    assert recall(KNOWN["well"]) == (1, 1)
    assert recall(noisy(KNOWN["well"])) == (1, 1)
    found, of_controls = recall(noisy(KNOWN["compound"]))
    assert found == 1
    assert of_controls < 0.15
    assert recall(KNOWN["compound"])[1] == pytest.approx(1 / 32), "all controls tie"
    assert recall(KNOWN["noise"])[1] < 0.15
    table = TABLE.assign(**{CONDITION: TABLE[PLATE]})
    assert identification(table, KNOWN["well"]).empty, "no other plate to look at"


def test_the_papers_rule_counts_treatments_that_replicate_by_it() -> None:
    """A treatment that replicates by one rule alone is matched under that rule alone."""
    table = layout(n_plates=4, n_treatments=24, n_controls=16)
    codes = pd.factorize(table[BROAD_SAMPLE], sort=True)[0]
    effect = np.random.default_rng(1).standard_normal((25, 16))
    weak = effect[codes] * np.linspace(0.0, 1.6, 25)[codes][:, None]
    scored = benchmark(table, weak + noise(table), NullConfig(size=20_000, seed=0), profiles="x")
    row = scored[(scored["task"] == "replicability") & (scored["stratum"] == "all")].iloc[0]
    assert row["fraction_retrieved"] != row["fraction_retrieved_legacy"]
    matched = scored[(scored["task"] == "matching") & (scored["stratum"] == "all")].iloc[0]
    one = pd.DataFrame({"q_legacy": [0.9, 0.9], SUBSET: None})
    own = Scored(one, pd.Series([0.1, 0.1]), 0.0)
    assert own.by_paper is one
    other = pd.DataFrame({"q_legacy": [0.01], SUBSET: None})
    assert replace(own, legacy=other).by_paper is other
    assert 0 <= matched["fraction_retrieved_legacy"] <= 1
