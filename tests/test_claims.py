"""Two runs at once: one is refused and told by whom, and no lock outlives its process."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline
from small_training import MODEL, QUICK, manifest_of, run, wells

from morphoclip.claims import Claim, claimed
from morphoclip.errors import InputError
from morphoclip.files import this_host
from morphoclip.hooks.claims import ClaimWhatIsWritten
from morphoclip.training.checkpoints import CheckpointStore
from morphoclip.training.trainer import train

HOLD = """
import sys, time
from pathlib import Path
from morphoclip.claims import Claim
claim = Claim(Path(sys.argv[1]), "the table")
print("held", flush=True)
time.sleep(600)
"""


def test_a_claim_names_its_holder_and_ends_with_it(tmp_path) -> None:
    lock = tmp_path / "folder" / "table.lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(
        InputError, match=rf"works on the table \(process {holder.pid} on {this_host()}, since 20"
    ):
        Claim(lock, "the table")
    holder.kill()
    holder.wait()
    holder.stdout.close()
    Claim(lock, "the table").release()


def test_readers_share_and_writers_do_not(tmp_path) -> None:
    lock = tmp_path / "table.lock"
    readers = [Claim(lock, "the table", shared=True) for _ in range(2)]
    with pytest.raises(InputError, match="another run works on the table"):
        Claim(lock, "the table")
    for reader in readers:
        reader.release()
    with claimed(lock, "the table"), pytest.raises(InputError, match=f"process {os.getpid()}"):
        Claim(lock, "the table", shared=True)
    Claim(lock, "the table").release()


def catalog_of(folder) -> DataCatalog:
    table = {"type": "morphoclip.datasets.whole_files.TextFile"}
    made = {"metadata": {"morphoclip": {"made_by": "ingestion"}}}
    return DataCatalog.from_config(
        {
            "wells": table | made | {"filepath": str(folder / "wells.txt")},
            "answer": table | {"filepath": str(folder / "answer.txt")},
            "report": table | {"filepath": str(folder / "report.txt"), "versioned": True},
            "plate_features": {
                "type": "morphoclip.datasets.partitions.Partitions",
                "path": str(folder / "plate_features" / "default"),
                "dataset": "text.TextDataset",
                "must_exist": False,
            },
        },
        save_version="2026-01-01T00.00.00.000Z",
    )


def node(inputs, outputs) -> Pipeline:
    return Pipeline([Node(lambda *_: "", inputs, outputs, name="node")])


WRITES, REPORTS, ASKS = node(None, "wells"), node("wells", "report"), node("wells", "answer")
EXTRACTS = node("wells", "plate_features")


@pytest.mark.parametrize(
    ("first", "second", "refused"),
    [
        ((WRITES, {}), (WRITES, {}), r"wells\.txt"),
        ((REPORTS, {}), (WRITES, {}), r"wells\.txt"),
        ((WRITES, {}), (REPORTS, {}), r"wells\.txt"),
        ((REPORTS, {}), (REPORTS, {}), None),
        ((WRITES, {}), (ASKS, {}), None),  # a question waits for nobody
        ((EXTRACTS, {"plates": "A+B"}), (EXTRACTS, {"plates": "C"}), None),
        ((EXTRACTS, {"plates": "A+B"}), (EXTRACTS, {"plates": "B+C"}), "plate B of the features"),
        ((EXTRACTS, {"plates": "A"}), (EXTRACTS, {}), "the features default"),
        ((EXTRACTS, {"plates": "A"}), (EXTRACTS, {"plates": "s/TARGET2"}), "the features default"),
        ((EXTRACTS, {}), (EXTRACTS, {"plates": 7}), "the features default"),
    ],
)
def test_of_two_runs_that_would_mix_the_second_is_refused(tmp_path, first, second, refused) -> None:
    hooks = [ClaimWhatIsWritten(), ClaimWhatIsWritten()]
    catalog = catalog_of(tmp_path)
    context = SimpleNamespace(project_path=tmp_path, config_loader={"globals": {"data": "."}})

    def start(hook, pipeline, ingestion) -> None:
        hook.before_pipeline_run({"runtime_params": {"ingestion": ingestion}}, pipeline, catalog)

    for hook in hooks:
        hook.after_context_created(context)
    start(hooks[0], *first)
    if refused is None:
        start(hooks[1], *second)
    else:
        with pytest.raises(InputError, match=f"another run works on .*{refused}"):
            start(hooks[1], *second)
    hooks[0].after_pipeline_run()
    hooks[1].on_pipeline_error()
    start(hooks[0], *second)
    hooks[0].on_pipeline_error()


def test_the_same_training_in_two_processes_is_refused_and_loses_nothing(tmp_path) -> None:
    data = wells()
    store = CheckpointStore(tmp_path)
    found = []

    def second(epoch: int, _: object) -> None:
        if epoch == 2:
            with pytest.raises(InputError, match=rf"works on the training .* {os.getpid()}"):
                run(tmp_path, QUICK)
            found.append(epoch)

    alone = run(tmp_path / "alone", QUICK)
    beside = train(data, manifest_of(data), MODEL, QUICK, store, second)
    assert found == [2]
    for name, weights in alone.model.members[0].state.items():
        assert torch.equal(weights, beside.model.members[0].state[name]), name


@pytest.mark.parametrize("place", ["file/x.lock", "/proc/x/x.lock"])
def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path, place) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"nothing can be written to .*MORPHOCLIP_DATA"):
        Claim(tmp_path / place, "it")
