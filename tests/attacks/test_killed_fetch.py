"""A fetch that is killed again and again goes on: no whole file comes twice."""

import random

import pytest
from attacks.forked import Command, run
from attacks.test_killed_stream import files_below, must
from bucket_plates import Lab, objects_of, wanted_of
from project import Workspace
from s3_server import serving

pytestmark = pytest.mark.slow

KILLS = 20
AT_ONCE = 4


def test_twenty_kills_of_a_fetch_ask_for_few_files_again(tmp_path) -> None:
    home = Workspace(tmp_path / "home")
    must(run(Command(home.folder, ("demo_gallery",))))
    objects = objects_of(home)
    wanted = wanted_of(objects)
    drawn = random.Random(11)
    with serving(objects) as server:
        lab = Lab(tmp_path / "lab", server, home)
        params = {"ingestion": {"source": lab.source}, "fetch": {"requests": AT_ONCE}}
        for _ in range(KILLS):
            kill_at, when = drawn.randint(6, 24), drawn.choice(["before", "after", "half"])
            must(run(Command(lab.folder, ("fetch",), params, kill_at=kill_at, when=when)), "killed")
            there = [key for key in files_below(lab.copies) if "/." not in key]
            assert all((lab.copies / key).read_bytes() == objects[key] for key in there)
        must(run(Command(lab.folder, ("fetch",), params)))
        asked = [server.asked[key] for key in wanted]
    assert min(asked) == 1
    n_again = sum(asked) - len(wanted)
    assert 0 < n_again <= (AT_ONCE + 1) * KILLS  # on their way, or read and not yet written
    copied = files_below(lab.copies)
    assert {key: copied.get(key) for key in wanted} == {key: objects[key] for key in wanted}
    assert not [name for name in copied if name not in objects]
