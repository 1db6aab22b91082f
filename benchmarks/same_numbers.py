"""Are the numbers of two data folders the same to the last bit?

``python -m benchmarks.same_numbers <folder> <folder>`` compares the newest version of each table
that both folders should agree on, as two versions of the code made them from the same raw data.
"""

import argparse
from pathlib import Path

import pandas as pd

TABLES = (
    "02_intermediate/split_manifest.parquet",
    "08_reporting/training_history.parquet",
    "08_reporting/retrieval_metrics.parquet",
    "08_reporting/permutation_test.parquet",
    "08_reporting/benchmark_metrics.parquet",
    "08_reporting/matching_metrics.parquet",
    "08_reporting/embedding_quality.parquet",
)


def newest(folder: Path, table: str) -> pd.DataFrame:
    """The newest version of a versioned table."""
    versions = sorted((folder / table).glob("*/*.parquet"))
    if not versions:
        raise SystemExit(f"{folder / table} has no version: run the pipelines first")
    return pd.read_parquet(versions[-1])


def main() -> None:
    """Print a line per table; exit with 1 where one differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    arguments = parser.parse_args()
    n_differing = 0
    for table in TABLES:
        before, after = newest(arguments.before, table), newest(arguments.after, table)
        same = before.equals(after)
        n_differing += not same
        numbers = before.select_dtypes("number").size
        print(
            f"{'equal' if same else 'DIFFERENT':<10} {table}: {len(before)} rows, {numbers} numbers"
        )
    raise SystemExit(n_differing > 0)


if __name__ == "__main__":
    main()
