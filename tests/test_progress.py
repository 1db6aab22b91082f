"""Progress: nothing is lost on the way, and a log gets a line a minute."""

import logging

from morphoclip import progress
from morphoclip.progress import watched


def every(seconds: float):
    now = iter(range(10_000))
    return lambda: next(now) * seconds


def test_a_log_gets_a_line_a_minute_with_the_time_left(caplog) -> None:
    caplog.set_level(logging.INFO, "morphoclip")
    assert list(watched(list(range(10)), "steps", clock=every(30))) == list(range(10))
    assert [r.message for r in caplog.records] == [
        "steps: 1 of 10, about 9 min left",
        "steps: 3 of 10, about 5 min left",
        "steps: 5 of 10, about 3 min left",
        "steps: 7 of 10, about 2 min left",
        "steps: 9 of 10, about 1 min left",
    ]


def test_short_work_says_nothing(caplog) -> None:
    caplog.set_level(logging.INFO, "morphoclip")
    assert list(watched(list(range(50)), "steps", clock=every(1))) == list(range(50))
    assert not caplog.records


def test_a_stream_of_unknown_length_counts_what_is_done(caplog) -> None:
    caplog.set_level(logging.INFO, "morphoclip")
    assert list(watched(iter("abc"), "plates", clock=every(60))) == ["a", "b", "c"]
    assert [r.message for r in caplog.records] == ["plates: 1 done", "plates: 2 done"]


def test_items_are_taken_one_at_a_time() -> None:
    taken = []

    def items():
        for number in range(3):
            taken.append(number)
            yield number

    stream = watched(items(), "steps", total=3)
    next(stream)
    assert taken == [0]


def test_people_who_watch_get_a_bar_and_no_lines(caplog, monkeypatch) -> None:
    caplog.set_level(logging.INFO, "morphoclip")
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    drawn = []
    monkeypatch.setattr(
        progress, "track", lambda items, what, **kwargs: drawn.append((what, kwargs)) or items
    )
    assert list(watched([1, 2], "steps", clock=every(100))) == [1, 2]
    assert drawn == [("steps", {"total": 2, "transient": False})]
    assert not caplog.records
