"""A streamed run that is killed again and again: the same features, and a bound that is kept."""

import random
from pathlib import Path

import pytest
from attacks.forked import Command, Ended, run
from faulty_server import BUCKET, sampled_disk
from s3_server import serving

pytestmark = pytest.mark.slow

KILLS = 20
SITES = {"demo_gallery": {"sites_per_well": 6}}


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def must(ended: Ended, how: str = "done") -> None:
    assert ended.how == how, ended.words


def test_twenty_kills_lose_nothing(tmp_path) -> None:
    home, lab = tmp_path / "home", tmp_path / "lab"
    must(run(Command(home, ("demo_gallery",), SITES)))
    must(run(Command(home, ("ingestion", "image_features"))))
    raw = home / "data" / "test" / "01_raw"
    objects = {
        f"lab/{name}": content
        for name, content in files_below(raw).items()
        if name.startswith(("images/", "workspace/"))
    }
    images = {key: content for key, content in objects.items() if key.endswith(".tiff")}
    plates = sorted({key.rsplit("/", 3)[1] for key in images})
    sizes = [sum(len(c) for key, c in images.items() if plate in key) for plate in plates]
    room = 1.3 * max(sizes)
    drawn = random.Random(7)
    with serving(objects) as server:
        source = {
            "root": f"s3://{BUCKET}/lab",
            "endpoint_url": server.endpoint,
            "experiment_metadata": str(raw / "experiment-metadata.tsv"),
            "annotations": str(raw / "compound_annotations.tsv"),
        }
        params = {
            "ingestion": {"source": source},
            "fetch": {"stream": True, "max_disk": room / 1e9},
        }
        must(run(Command(lab, ("ingestion",), {"ingestion": {"source": source}})))
        data = lab / "data" / "test"
        copies = data / "01_raw"
        with sampled_disk(copies) as held:
            before: dict[str, int] = {}
            for _ in range(KILLS):
                kill_at, when = drawn.randint(40, 110), drawn.choice(["before", "after", "half"])
                command = Command(lab, ("image_features",), params, kill_at=kill_at, when=when)
                must(run(command), "killed")
                packed = {path.stem for path in data.glob("04_feature/plate_features/*/*.pt")}
                there = {
                    plate: len(list(copies.rglob(f"{plate}/**/[!.]*.tiff"))) for plate in plates
                }
                for plate in plates:
                    if plate.partition("__")[0] not in packed:
                        assert there[plate] >= before.get(plate, 0), (
                            "deleted before it was verified"
                        )
                before = there
            must(run(Command(lab, ("image_features", "verify_features"), params)))
        assert max(held) <= room
        assert set(server.asked) >= set(images)
        fetched = sum(server.asked[key] * len(content) for key, content in images.items())
        assert fetched <= 1.1 * sum(sizes)
    assert not list(copies.rglob("*.tiff"))
    ours, theirs = (files_below(folder / "data" / "test" / "04_feature") for folder in (lab, home))
    assert set(ours) == set(theirs)
    differing = [name for name in ours if name.endswith(".pt") and ours[name] != theirs[name]]
    assert not differing
