"""What a set of features was made with; two sets that differ are never mixed."""

from collections.abc import Mapping

from morphoclip.errors import InputError

Fingerprint = dict[str, str]
"""Plain text on both sides, so that it survives JSON and ``weights_only=True``."""


NAMED_WHERE_USED = frozenset({"adapter", "input", "mean", "sd", "pixel_size", "field"})
"""What a fingerprint of image features names only where it is not the usual."""


def require_fingerprint(found: object, what: str) -> None:
    """Refuse what is read in the place of a fingerprint and is none.

    Raises:
        InputError: It is no mapping of text to text.
    """
    if not isinstance(found, Mapping) or not all(
        isinstance(text, str) for pair in found.items() for text in pair
    ):
        raise InputError(f"{what} is no fingerprint: {str(found)[:60]!r}")


def differences(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """``"key: a, not b"`` for every key that differs."""
    keys = sorted(set(one) | set(other))
    return [
        f"{key}: {one.get(key, 'absent')}, not {other.get(key, 'absent')}"
        for key in keys
        if one.get(key) != other.get(key)
    ]


def as_models_see_it(fingerprint: Mapping[str, str]) -> Fingerprint:
    """What a model has to know of its features: channels by name, not what a source calls them.

    ``DNA=5+ER=4`` of one microscope and ``DNA=dapi+ER=er`` of another are the same channels. Where
    images were brought to one field of view, their own pixel size does not matter.
    """
    seen = dict(fingerprint)
    if "field" in seen:
        seen.pop("pixel_size", None)
    if "channels" in seen:
        seen["channels"] = "+".join(channel_names(seen))
    return seen


def channel_names(fingerprint: Mapping[str, str]) -> tuple[str, ...]:
    """Names of the channels that features were made of, in order; none where it names none."""
    named = fingerprint.get("channels", "")
    return tuple(channel.partition("=")[0] for channel in named.split("+") if channel)


def require_same(named: Mapping[str, Mapping[str, str]], remedy: str) -> Fingerprint:
    """The one fingerprint that all of the named sets share.

    Raises:
        InputError: Two of them differ.
    """
    names = sorted(named)
    first = names[0]
    for name in names[1:]:
        differing = differences(named[name], named[first])
        if differing:
            raise InputError(
                f"features of {name} and of {first} were made differently ({'; '.join(differing)}) "
                f"and cannot be mixed; {remedy}"
            )
    return dict(named[first])
