"""Whose doing a recorded topic is: ours, a competitor's, the customer's own, or unknown."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

import yaml

Cause = Literal["ours", "competitor", "own", "unknown"]
CAUSES: tuple[Cause, ...] = ("ours", "competitor", "own", "unknown")
KINDS = ("complaint", "support_ticket", "survey", "inquiry")
"""Kinds of interaction whose topic is read."""


@lru_cache
def _words() -> tuple[tuple[Cause, tuple[str, ...]], ...]:
    text = Path(__file__).with_name("causes.yaml").read_text(encoding="utf-8")
    read = yaml.safe_load(text)
    order: tuple[Cause, ...] = ("competitor", "own", "ours")
    return tuple((cause, tuple(word.casefold() for word in read[cause])) for cause in order)


def cause_of(topic: str | None) -> Cause:
    """Say whose doing a topic is.

    >>> [cause_of(topic) for topic in ("Late delivery", "竞品更便宜", "moved house", "other", None)]
    ['ours', 'competitor', 'own', 'unknown', 'unknown']
    """
    said = (topic or "").casefold()
    return next((cause for cause, words in _words() if any(w in said for w in words)), "unknown")
