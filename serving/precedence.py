"""Which action waits for which: checked between the entries of a playbook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from features.edited import Place


def wrong_precedence(actions: Sequence[Any], nothing: str) -> Iterator[tuple[Place, str]]:
    """Find what cannot be in ``only_after`` and ``not_within``; entries need not be valid.

    Parameters
    ----------
    nothing
        Key of the action that is doing nothing.

    Examples
    --------
    >>> def wrong(**after):
    ...     actions = [{"key": key, "only_after": names} for key, names in after.items()]
    ...     return [text for _, text in wrong_precedence(actions, "let_go")]
    >>> wrong(a=[], b=["a"])
    []
    >>> wrong(a=["b"], b=["a"])
    ['a comes only after b, b only after a: none of them could ever be done; remove one link']
    >>> wrong(email=["e_mail"]), wrong(a=["c"])
    (['there is no action e_mail; did you mean email?'], ['there is no action c; use one of a'])

    It is no loop where an action may follow something else as well:

    >>> wrong(a=["b", "c"], b=["a"], c=[])
    []
    """
    entries = [(place, one) for place, one in enumerate(actions) if isinstance(one, Mapping)]
    keys = list(dict.fromkeys(str(one["key"]) for _, one in entries if "key" in one))
    for place, one in entries:
        for name in ("only_after", "not_within"):
            for other in _named(one, name):
                if text := _wrong_name(name, other, str(one.get("key")), nothing, keys):
                    yield ("actions", place, name), text
    yield from _loops(
        {str(one.get("key")): (place, _named(one, "only_after")) for place, one in entries}
    )


def _named(entry: Mapping[str, Any], name: str) -> list[str]:
    given = entry.get(name) or ()
    return [str(one) for one in given] if isinstance(given, list | tuple | Mapping) else []


def _wrong_name(name: str, other: str, own: str, nothing: str, keys: Sequence[str]) -> str:
    if other not in keys:
        near = get_close_matches(other, keys, 1)
        return f"there is no action {other}; " + (
            f"did you mean {near[0]}?" if near else f"use one of {', '.join(keys)}"
        )
    if other == nothing:
        return f"{nothing} is doing nothing, so that no action is within or after it; remove it"
    if other == own and name == "not_within":
        return "an action's own pause is cooldown_days; set that, and remove it here"
    return ""


def _loops(after: Mapping[str, tuple[int, Sequence[str]]]) -> Iterator[tuple[Place, str]]:
    """Spell out the loops among actions of which none could ever be the first."""
    possible: set[str] = set()
    grown = True
    while grown:
        ready = {
            key
            for key, (_, before) in after.items()
            # What names an action that does not exist is a mistake of its own.
            if not before or not possible.isdisjoint(before) or not after.keys() >= set(before)
        }
        grown = not ready <= possible
        possible |= ready
    told: set[str] = set()
    for start in after:
        if start in possible or start in told:
            continue
        path = [start]
        while (following := next(iter(after[path[-1]][1]))) not in path and following not in told:
            path.append(following)
        told |= set(path)
        if following not in path:
            continue
        loop = path[path.index(following) :]
        yield ("actions", after[loop[0]][0], "only_after"), _spelled(loop)


def _spelled(loop: Sequence[str]) -> str:
    if len(loop) == 1:
        return f"{loop[0]} comes only after itself, and could never be done; remove it here"
    pairs = zip(loop, [*loop[1:], loop[0]], strict=True)
    links = [f"{one} only after {other}" for one, other in pairs]
    links[0] = links[0].replace(" only", " comes only", 1)
    return f"{', '.join(links)}: none of them could ever be done; remove one link"
