"""Mistakes that a user can mend: each ends in one sentence, not in a traceback."""

import re
from collections.abc import Iterable

_IN_AN_ADDRESS = re.compile(r"(?<=://)[^/\s@'\"]+@")
_IN_A_QUERY = re.compile(
    r"(?i)([?&][\w-]*(?:token|key|secret|signature|password|credential)[\w-]*=)[^&\s'\"]+"
)


class InputError(ValueError):
    """What was given cannot be used.

    The message says what, where, how many, an example, and the remedy.
    """


def example_of(values: Iterable[object], *, limit: int = 3) -> str:
    """The first few values and how many more there are: ``"A01, A02, A03 (+5 more)"``."""
    listed = [str(value) for value in values]
    more = f" (+{len(listed) - limit} more)" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + more


def without_credentials(text: str) -> str:
    """A sentence in which addresses carry no user, password, key or signature."""
    return _IN_A_QUERY.sub(r"\1...", _IN_AN_ADDRESS.sub("", text))
