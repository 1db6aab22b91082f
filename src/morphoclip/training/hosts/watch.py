"""Whether the other hosts of a training are still there, and how they ended."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from morphoclip.errors import InputError
from morphoclip.training.hosts.notes import End, Sign
from morphoclip.training.hosts.store import HostStore, StoreClosed

SECONDS_OF_SILENCE = 30.0
"""A host that was not heard of for so long is gone."""

LEADER = 0
"""The number of the leading host."""

_SECONDS_BETWEEN_SIGNS = 2.0
_GO_ON = (
    "kedro run --pipeline training --params training.resume:true goes on after the last epoch that "
    "was saved, with these hosts or another number of them"
)

_IS_GONE = f"of this training is gone: it died or cannot be reached. {_GO_ON}"


class HostGone(InputError):
    """Another host ended, or is silent."""


class HostWatch(threading.Thread):
    """Gives signs of life of this host, and notes those of others."""

    def __init__(self, store: HostStore, own: int, others: list[int]) -> None:
        super().__init__(daemon=True)
        self._store, self._own, self._others = store.another(), own, others
        self._signs: dict[int, int] = {}
        self._heard = dict.fromkeys(others, time.monotonic())
        self._ends: dict[int, End] = {}
        self._lost: str | None = None
        self._stopped = threading.Event()

    def run(self) -> None:
        """Until stopped, or the leading host is gone."""
        number = 0
        try:
            while not self._stopped.wait(_SECONDS_BETWEEN_SIGNS if number else 0):
                number += 1
                self._store.say(f"alive/{self._own}", Sign(number=number))
                for other in self._others:
                    self._listen(other)
        except StoreClosed as error:
            self._lost = str(error)

    def _listen(self, other: int) -> None:
        sign = self._store.hear(f"alive/{other}", Sign)
        if sign is not None and sign.number != self._signs.get(other):
            self._heard[other] = time.monotonic()
            self._signs[other] = sign.number
        end = self._store.hear("end" if other == LEADER else f"end/{other}", End)
        if end is not None:
            self._ends[other] = end

    def stop(self) -> None:
        """Give no more signs."""
        self._stopped.set()
        self.join(_SECONDS_BETWEEN_SIGNS)

    def is_here(self, number: int) -> bool:
        """Whether a host gave a sign just now."""
        since = time.monotonic() - self._heard[number]
        return number in self._signs and since < 3 * _SECONDS_BETWEEN_SIGNS

    def gone(self) -> list[int]:
        """Hosts that gave signs and give none any more."""
        return [number for number in list(self._signs) if self._is_silent(number)]

    def forget(self, number: int) -> None:
        """A host that is gone; another may come with its number."""
        self._signs.pop(number, None)
        self._ends.pop(number, None)

    def _is_silent(self, number: int) -> bool:
        return time.monotonic() - self._heard[number] > SECONDS_OF_SILENCE

    def look(self) -> None:
        """Raise how another host ended.

        Raises:
            HostGone: It died, or is silent.
        """
        for number in self._others:
            name = "the leading host" if number == LEADER else f"host {number + 1}"
            end = self._ends.get(number)
            if end is not None and end.kind == "sentence":
                raise HostGone(end.text if number == LEADER else f"{name}: {end.text}")
            if end is not None and end.kind == "died":
                raise HostGone(f"{name} ended: {end.text}. {_GO_ON}")
            if end is None and (self._lost or self._is_silent(number)):
                raise HostGone(f"{name} {_IS_GONE}")

    def look_for_the_reason(self) -> None:
        """Raise how another host ended, if one did; it takes a while to be known."""
        started = time.monotonic()
        while time.monotonic() - started < SECONDS_OF_SILENCE + 2 * _SECONDS_BETWEEN_SIGNS:
            self.look()
            time.sleep(0.2)


@contextmanager
def watching(store: HostStore, own: int, others: Iterable[int]) -> Iterator[HostWatch]:
    """Give signs of life while the block runs, and watch these hosts."""
    watch = HostWatch(store, own, list(others))
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()


@contextmanager
def said_how_it_ended(store: HostStore, name: str) -> Iterator[None]:
    """Leave a note of how the block ended, for the other hosts, by this name."""
    try:
        yield
    except BaseException as error:
        is_sentence = isinstance(error, InputError)
        text = str(error) or type(error).__name__
        with suppress(StoreClosed):
            store.say(name, End(kind="sentence" if is_sentence else "died", text=text))
        raise
    store.say(name, End(kind="done"))


@contextmanager
def closed_means_gone() -> Iterator[None]:
    """A store that is closed before its time was the leading host's.

    Raises:
        HostGone: It was closed.
    """
    try:
        yield
    except StoreClosed as error:
        raise HostGone(f"the leading host {_IS_GONE}") from error
