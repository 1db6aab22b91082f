"""What an attack may end in, and nothing else."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from morphoclip.cli.explain import explain

Expected = Literal["refused", "same", "said"]


@dataclass(frozen=True)
class Attack:
    """Something bad, and what has to come of it.

    Attributes:
        name: What is wrong with it.
        act: Reads it as the project does; what it returns is compared for ``same``.
        expected: ``refused`` in a sentence, the ``same`` as of the unharmed input, or ``said``:
            accepted with a warning that says so.
        words: What the sentence or the warning has to hold: the place.
    """

    name: str
    act: Callable[[], Any]
    expected: Expected = "refused"
    words: str = ""

    def __str__(self) -> str:
        return self.name


def outcome(attack: Attack, same: Callable[[Any], bool], records: list[logging.LogRecord]) -> str:
    """``""`` where the attack ended as it should, else what happened."""
    del records[:]
    try:
        found = attack.act()
    except Exception as error:  # whichever: explain() tells sentences from tracebacks
        sentence = explain(error)
        if sentence is None:
            return f"a traceback: {type(error).__name__}: {error}"
        if attack.expected != "refused":
            return f"refused: {sentence}"
        if attack.words not in sentence:
            return f"the sentence does not hold {attack.words!r}: {sentence}"
        return "" if len(sentence) < 1200 and "\n\n" not in sentence else f"no sentence: {sentence}"
    if attack.expected == "refused":
        return f"accepted without a word: {str(found)[:200]}"
    if attack.expected == "said":
        said = " ".join(record.getMessage() for record in records if record.levelno >= 30)
        return "" if attack.words in said and said else f"nothing is said of it: {said!r}"
    return "" if same(found) else f"another result: {str(found)[:200]}"
