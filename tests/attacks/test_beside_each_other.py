"""Two runs on one data folder: each ends as if it were alone, or is refused and told by whom."""

import pytest
from attacks.forked import Command, Started, call
from attacks.reference import copy

pytestmark = pytest.mark.slow

LONG = {"training": {"epochs": 12, "resume": False, "learning_rate": 0.002}}
SHORT = {"training": {"epochs": 2, "resume": False, "learning_rate": 0.0005}}


def digests(folder) -> tuple[list[str], list[str], list[int]]:
    """By version: the model's digest, the model that profiles name, and epochs in the history."""
    import json

    import pandas as pd

    data = folder / "data" / "test"
    records = sorted((data / "06_models/model_record.json").glob("*/*.json"))
    profiles = sorted((data / "08_reporting/well_profiles.parquet").glob("*/*.parquet"))
    histories = sorted((data / "08_reporting/training_history.parquet").glob("*/*.parquet"))
    return (
        [json.loads(path.read_text())["digest"] for path in records],
        [str(pd.read_parquet(path)["Metadata_model"].iloc[0]) for path in profiles],
        [len(pd.read_parquet(path)) for path in histories],
    )


def test_a_long_and_a_short_training_report_each_its_own_model(reference, tmp_path) -> None:
    folder = tmp_path / "run"
    copy(reference.before("training"), folder)
    both = ("training", "evaluation")
    long = Started(Command(folder, both, LONG))
    short = Started(Command(folder, both, SHORT))
    ended = [long.end(), short.end()]
    assert [one.how for one in ended] == ["done", "done"], ended
    models, profiles, epochs = call(digests, folder)
    assert len(set(models)) == 2
    assert models == profiles, "each run's profiles are of the model of the same version"
    assert sorted(epochs) == [2, 12]


def test_the_same_training_twice_is_refused_and_the_first_ends_as_if_alone(
    reference, tmp_path
) -> None:
    alone, folder = tmp_path / "alone", tmp_path / "run"
    for place in (alone, folder):
        copy(reference.before("training"), place)
    assert Started(Command(alone, ("training",), LONG)).end().how == "done"
    runs = [Started(Command(folder, ("training",), LONG)) for _ in range(2)]
    ended = sorted((run.end() for run in runs), key=lambda one: one.how)
    if [one.how for one in ended] == ["done", "sentence"]:
        assert "another run works on the training" in ended[1].words
    else:  # the second began after the first had ended
        assert [one.how for one in ended] == ["done", "done"], ended
    expected, found = call(digests, alone)[0], call(digests, folder)[0]
    assert set(found) == set(expected)


@pytest.mark.parametrize(
    ("stage", "one", "other"),
    [
        ("image_features", {"preprocess": {"size": 32}}, {"preprocess": {"size": 48}}),
        ("text_features", {"level": "name_only"}, {"level": "full"}),
    ],
)
def test_two_settings_at_once_do_not_mix(reference, tmp_path, stage, one, other) -> None:
    folder = tmp_path / "run"
    copy(reference.before(stage), folder)
    runs = [Started(Command(folder, (stage,), {stage: given})) for given in (one, other)]
    ended = [run.end() for run in runs]
    hows = sorted(run.how for run in ended)
    assert hows in (["done", "sentence"], ["done", "done"]), ended
    if stage == "image_features":
        assert hows == ["done", "sentence"], "features of two settings are never in one set"
        won = one if ended[0].how == "done" else other
        assert Started(Command(folder, ("verify_features",), {stage: won})).end().how == "done"


def test_other_plates_at_once_go_together(reference, tmp_path) -> None:
    folder = tmp_path / "run"
    copy(reference.before("image_features"), folder)
    plates = call(plates_of, folder)
    runs = [
        Started(Command(folder, ("image_features",), {"ingestion": {"plates": plate}}))
        for plate in plates[:2]
    ]
    assert [run.end().how for run in runs] == ["done", "done"]


def plates_of(folder) -> list[str]:
    import pandas as pd

    index = pd.read_parquet(folder / "data/test/02_intermediate/well_index.parquet")
    return sorted(index["Metadata_Plate"].unique())
