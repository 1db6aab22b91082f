"""What is refused before a cluster is asked, and what a worker refuses."""

import pickle
from dataclasses import replace

import pandas as pd
import pytest

from morphoclip.backbones.config import ImageBackboneConfig, UntrainedViT
from morphoclip.errors import InputError
from morphoclip.features import dask_cluster, dask_workers
from morphoclip.features.config import DaskConfig, ImageFeaturesConfig
from morphoclip.features.dask_cluster import dask_client, n_workers
from morphoclip.gallery.image_files import ImageFiles

CONFIG = ImageFeaturesConfig(
    channels={"DNA": 1},
    preprocess={"size": 16},
    backbone=ImageBackboneConfig(
        kind="untrained", untrained=UntrainedViT(hidden_size=16, layers=1, heads=2)
    ),
)


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("tcp://127.0.0.1:1", "has no TLS: whoever reaches its port runs code as you"),
        ("127.0.0.1:8786", r"write tls://host:port"),
        ("tls://127.0.0.1:1", "no Dask scheduler answers at tls://127.0.0.1:1"),
    ],
)
def test_addresses_that_are_refused(address, sentence, monkeypatch) -> None:
    monkeypatch.setattr(dask_cluster, "_SECONDS_TO_CONNECT", 1)
    with pytest.raises(InputError, match=sentence), dask_client(DaskConfig(address=address)):
        pass


def test_a_scheduler_without_tls_is_asked_where_the_user_says_so(monkeypatch) -> None:
    monkeypatch.setattr(dask_cluster, "_SECONDS_TO_CONNECT", 1)
    config = DaskConfig(address="tcp://127.0.0.1:1", trusted_network=True)
    with pytest.raises(InputError, match="no Dask scheduler answers"), dask_client(config):
        pass


def test_without_dask_the_group_is_named(monkeypatch) -> None:
    monkeypatch.setattr(dask_cluster.importlib.util, "find_spec", lambda _: None)
    with (
        pytest.raises(InputError, match=r"pip install .morphoclip\[dask\]"),
        dask_client(DaskConfig()),
    ):
        pass


def test_one_worker_per_gpu(monkeypatch) -> None:
    monkeypatch.setattr(dask_cluster.torch.cuda, "device_count", lambda: 4)
    assert n_workers(DaskConfig()) == 4
    assert n_workers(DaskConfig(workers=2)) == 2
    monkeypatch.setattr(dask_cluster.torch.cuda, "device_count", lambda: 0)
    assert n_workers(DaskConfig()) == 1


@pytest.fixture
def recipe(tmp_path, monkeypatch) -> dask_workers.Recipe:
    monkeypatch.setattr(dask_workers, "_own_device", lambda _: "cpu")
    monkeypatch.setattr(dask_workers, "_worker", None)
    return dask_workers.Recipe("run", CONFIG, ImageFiles(str(tmp_path)), None, None, None)


def test_a_worker_loads_its_backbone_once_for_a_run(recipe) -> None:
    made_with = dask_workers.fingerprint(recipe)
    assert made_with["channels"] == "DNA=1"
    first = dask_workers._worker
    dask_workers.fingerprint(pickle.loads(pickle.dumps(recipe)))  # noqa: S301 - as Dask sends it
    assert dask_workers._worker is first
    dask_workers.fingerprint(replace(recipe, name="another run"))
    assert dask_workers._worker is not first


def test_a_worker_with_another_model_or_version_refuses(recipe) -> None:
    other = dask_workers.fingerprint(recipe) | {"model": "another"}
    with pytest.raises(InputError, match=r"has another model: model: .*, not another; give all"):
        dask_workers.encode(recipe, [], {}, pd.DataFrame(), other)
    older = replace(recipe, name="older", version="0.0.1")
    with pytest.raises(InputError, match=r"and the run 0\.0\.1: install the same on all machines"):
        dask_workers.fingerprint(older)


def test_a_folder_of_images_travels_as_its_address(tmp_path, monkeypatch) -> None:
    (tmp_path / "a.tiff").write_bytes(b"abc")
    monkeypatch.chdir(tmp_path)
    sent = pickle.dumps(ImageFiles("."))
    monkeypatch.chdir("/")
    assert pickle.loads(sent).read("a.tiff") == b"abc"  # noqa: S301
