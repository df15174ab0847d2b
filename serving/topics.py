"""What a reason can be about: features that say nearly the same, and which of them to act on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Topic:
    """Features that are told as one reason.

    Attributes
    ----------
    act
        Whether a person can do something about it.
    """

    name: str
    act: bool
    features: tuple[str, ...]


def _topics() -> tuple[Topic, ...]:
    text = Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")
    return tuple(
        Topic(entry["name"], entry["act"], tuple(entry["features"]))
        for entry in yaml.safe_load(text)
    )


TOPICS: tuple[Topic, ...] = _topics()
