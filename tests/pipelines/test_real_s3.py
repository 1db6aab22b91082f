"""Against a real S3 API, through a proxy that fails: right files, or a sentence."""

import logging
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

import pandas as pd
import pytest
from bucket_plates import PREFIX, Lab, alike, images_of, wanted_of
from faulty_server import BUCKET, FAULTS, LISTING_FAULTS, in_background
from project import Workspace
from real_s3 import PYTHON, Bucket, Proxy, moto

from morphoclip.errors import InputError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("short_waits"),
    pytest.mark.skipif(not PYTHON.exists(), reason="make .venv-s3/.installed installs moto"),
]

EVENTS = ("replaced", "deleted", "added")
"""What happens to objects between being listed and being read."""
PASSING = ("500", "503", "cut", "short", "wrong")

logger = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with moto() as bucket:
        yield bucket


@pytest.fixture
def plates(bucket, objects) -> Iterator[dict[str, bytes]]:
    """What the bucket holds, kept up by who changes it."""
    held = dict(objects)
    for key, content in held.items():
        bucket.put(key, content)
    yield held
    for key in held:
        bucket.delete(key)


@pytest.fixture
def proxy(bucket) -> Iterator[Proxy]:
    with in_background(Proxy(bucket)) as proxy:
        yield proxy


@pytest.fixture
def lab(tmp_path, proxy, at_home) -> Lab:
    return Lab(tmp_path, proxy, at_home)


class Faults:
    """At most three faults in a row for an object or a listing; events happen once."""

    def __init__(
        self,
        seed: int,
        proxy: Proxy,
        plates: dict[str, bytes],
        kinds: tuple[str, ...] = (*FAULTS, *FAULTS, *EVENTS),
    ) -> None:
        self.seed = seed
        self.proxy, self.plates = proxy, plates
        self.happened: list[str] = []
        wanted = wanted_of(plates)
        self.other = plates[wanted[0]]
        copied = [key for key in wanted if key.startswith(wanted[-1].rpartition("-ch")[0])]
        self.new = {key.replace("f01", "f09"): plates[key] for key in copied}
        drawn = random.Random(seed)
        hit = drawn.sample(wanted[1:], 24)
        self.plan = {key: drawn.choice(kinds) for key in hit}
        self.plan |= {hit[n]: kind for n, kind in enumerate(EVENTS) if kind in kinds}
        proxy.fault_of = self._of_object
        proxy.listing_fault_of = self._of_listing

    def end(self) -> None:
        """From now on all is well."""
        self.proxy.fault_of = self.proxy.listing_fault_of = lambda _name, _nth: None

    def _of_object(self, key: str, nth: int) -> str | None:
        kind = self.plan.get(key)
        if kind in EVENTS:
            if nth == 0:
                self._change(kind, key)
            return None
        return kind if nth < self._drawn(key).choice((1, 2, 3)) else None

    def _of_listing(self, prefix: str, nth: int) -> str | None:
        drawn = self._drawn(f"{prefix} {nth}")
        return drawn.choice(LISTING_FAULTS) if nth % 2 == 0 and nth < 6 else None

    def _drawn(self, what: str) -> random.Random:
        """Requests come in no order: what happens to one depends on nothing else."""
        return random.Random(f"{self.seed} {what}")

    def _change(self, kind: str, key: str) -> None:
        self.happened.append(kind)
        match kind:
            case "replaced":
                self._put(key, self.other)
            case "deleted":
                self.proxy.bucket.delete(key)
                del self.plates[key]
            case "added":
                for name, content in self.new.items():
                    self._put(name, content)

    def _put(self, key: str, content: bytes) -> None:
        self.proxy.bucket.put(key, content)
        self.plates[key] = content


def stems(keys: Iterable[str]) -> set[str]:
    """Sites, by what the names of their images begin with."""
    return {key.rpartition("-ch")[0] for key in keys}


def until_it_ends(run: Callable[[], None]) -> int:
    """The same command again while it ends in a sentence; how often that was."""
    for n_sentences in range(40):
        with suppress(InputError):
            run()
            return n_sentences
    raise AssertionError("it never ended well")


@pytest.mark.parametrize("seed", range(8))
def test_fetch_ends_in_right_files_or_a_sentence(lab, proxy, plates, caplog, seed) -> None:
    faults = Faults(seed, proxy, plates)
    caplog.set_level(logging.INFO)
    n_sentences = until_it_ends(lambda: lab.run("fetch"))
    said = [re.match(r"(\d+) site\(s\) lack a channel", text) for text in caplog.messages]
    n_said = int([found for found in said if found][-1][1])
    n_faults = sum(proxy.faults.values()) + len(faults.happened)
    summary = (n_faults, n_sentences, dict(proxy.faults), Counter(faults.happened))
    logger.info("%d faults, %d sentences: %s, %s", *summary)
    assert n_faults >= 25
    # whatever was listed: what is there is right, and what is not there was counted
    fetched = {f"{PREFIX}{path}" for path in lab.copied()}
    assert [key for key in fetched if (lab.copies / key).read_bytes() != plates.get(key)] == []
    whole = stems(key for key in wanted_of(plates) if key in fetched)
    assert len(stems(images_of(plates)) - whole - stems(faults.new)) <= n_said
    faults.end()
    caplog.clear()
    lab.run("fetch")
    wanted = wanted_of(plates)
    there = [path for path in lab.copied() if path.endswith(".tiff")]
    assert {f"{PREFIX}{path}" for path in there} >= set(wanted)
    assert [key for key in wanted if (lab.copies / key).read_bytes() != plates[key]] == []
    n_incomplete = len(stems(images_of(plates))) - len(wanted) // 5
    assert any(f"{n_incomplete} site(s) lack a channel" in text for text in caplog.messages)


@pytest.mark.parametrize("stream", [False, True])
def test_features_through_faults_are_the_features_of_a_folder(
    lab, proxy, plates, at_home, stream
) -> None:
    """Straight from the bucket, and with a disk between; what is gone for good ends the run."""
    faults = Faults(90 + stream, proxy, plates, kinds=(*PASSING, "404"))
    until_it_ends(lambda: lab.run("ingestion", "image_features", fetch={"stream": stream}))
    assert sum(proxy.faults.values()) >= 25
    assert proxy.faults["404"] > 0
    faults.end()
    lab.run("ingestion", "image_features", fetch={"stream": stream})
    assert alike(lab, at_home)
    assert not lab.images_here()


def test_an_image_that_is_gone_is_named(lab, proxy, plates) -> None:
    lab.run("ingestion")
    gone = wanted_of(plates)[7]
    proxy.fault_of = lambda key, _nth: "404" if key == gone else None
    with pytest.raises(InputError, match=rf"{re.escape(gone)} cannot be read: it is listed and no"):
        lab.run("image_features")


@pytest.fixture
def published(bucket, gallery) -> Iterator[list[str]]:
    """Names of real profiles and metadata in the bucket."""
    paths = [path for path in gallery.rglob("*") if path.suffix in (".gz", ".csv", ".tsv", ".txt")]
    keys = {f"{PREFIX}{path.relative_to(gallery).as_posix()}": path for path in paths}
    for key, path in keys.items():
        bucket.put(key, path.read_bytes())
    yield [path.name for path in paths]
    for key in keys:
        bucket.delete(key)


def test_profiles_through_faults_are_those_of_a_folder(tmp_path, proxy, gallery, published) -> None:
    drawn = random.Random(3)
    plan = {name: drawn.sample(PASSING, 3) for name in published}
    proxy.fault_of = lambda key, nth: dict(enumerate(plan[key.rsplit("/", 1)[-1]])).get(nth)
    proxy.listing_fault_of = lambda _prefix, nth: ("500", "cut", None)[nth % 3]
    there, here = (Workspace(tmp_path / name, env="profiles") for name in ("there", "here"))
    root = f"s3://{BUCKET}/{PREFIX.rstrip('/')}"
    source = {"root": root, "endpoint_url": proxy.endpoint}
    there.run("fetch", ingestion={"source": source})
    assert sum(proxy.faults.values()) >= 3 * len(published)
    asked = proxy.asked.copy()
    quick = {
        "training": {"epochs": 1, "inner_folds": 2, "members": 1},
        "evaluation": {"null_size": 200, "bootstrap_draws": 100},
    }
    there.run("profiles", ingestion={"source": source}, **quick)
    here.run("profiles", ingestion={"source": {"root": str(gallery)}}, **quick)
    assert proxy.asked == asked
    ours, theirs = there.load("plate_features"), here.load("plate_features")
    assert len(ours) == 3
    assert [plate for plate in ours if not ours[plate]().equals(theirs[plate]())] == []
    metrics = [workspace.load("retrieval_metrics") for workspace in (there, here)]
    pd.testing.assert_frame_equal(*metrics)
