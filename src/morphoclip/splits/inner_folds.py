"""Folds within what is not tested: settings are chosen on them, and the test wells stay unseen."""

from collections.abc import Iterator

import pandas as pd

from morphoclip.columns import ENTITY, GENE, MODALITY, PLATE, SUBSET, Subset
from morphoclip.errors import InputError
from morphoclip.splits.strategies.base import digest_of

_LEARNT_FROM = (str(Subset.TRAIN), str(Subset.VALIDATION))


def with_validation_joined(manifest: pd.DataFrame) -> pd.DataFrame:
    """The manifest with its validation wells among the train wells."""
    joined = manifest[SUBSET].replace(str(Subset.VALIDATION), str(Subset.TRAIN))
    return manifest.assign(**{SUBSET: joined})


def inner_manifests(manifest: pd.DataFrame, n_folds: int, seed: int) -> Iterator[pd.DataFrame]:
    """Divide train and validation wells anew: each fold validates what the others train on.

    What the manifest keeps out of its test wells is kept together here, too: genes, else entities,
    else plates. Test and excluded wells are excluded.

    Raises:
        InputError: There are fewer groups than folds.
    """
    used = manifest[SUBSET].isin(_LEARNT_FROM)
    groups = _groups_kept_apart(manifest)[used]
    fold_of: dict[str, int] = {}
    for _, members in groups.groupby(manifest.loc[used, MODALITY]):
        names = sorted(members.unique(), key=lambda name: digest_of(seed, str(name)))
        fold_of |= {
            name: place % n_folds for place, name in enumerate(names) if name not in fold_of
        }
    if len(set(fold_of.values())) < n_folds:
        raise InputError(
            f"{len(fold_of)} group(s) of train and validation wells cannot make training."
            f"inner_folds {n_folds}; set it lower, or training.stopping to early"
        )
    fold = groups.map(fold_of)
    for number in range(n_folds):
        subsets = pd.Series(str(Subset.EXCLUDED), index=manifest.index)
        subsets[used] = str(Subset.TRAIN)
        subsets[fold.index[fold == number]] = str(Subset.VALIDATION)
        yield manifest.assign(**{SUBSET: subsets})


def _groups_kept_apart(manifest: pd.DataFrame) -> pd.Series:
    """The widest of gene, entity and plate that test wells share with no other well."""
    tested = manifest[SUBSET] == Subset.TEST
    used = manifest[SUBSET].isin(_LEARNT_FROM)
    genes = manifest[GENE].fillna(manifest[ENTITY])
    for groups in (genes, manifest[ENTITY]):
        if not set(groups[tested]) & set(groups[used]):
            return groups
    return manifest[PLATE]
