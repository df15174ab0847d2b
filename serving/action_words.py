"""What is said of actions, in one language: their names, why they were chosen, what they offer."""

from __future__ import annotations

from dataclasses import dataclass

from serving.actions import NOTES, note_text
from serving.named_offers import NamedOffers
from serving.playbook import Playbook
from serving.sentences import Language, load_table


@dataclass(frozen=True)
class ActionWords:
    """Words by the codes that choices and offers have.

    Attributes
    ----------
    names
        Doing nothing, then the actions of the playbook in their order.
    notes
        Why, in the order of :data:`serving.actions.NOTES`.
    offers, whys
        What is offered and why it is that; the last of each, at -1, is of nothing.
    """

    names: tuple[str, ...]
    notes: tuple[str, ...]
    offers: tuple[str | None, ...]
    whys: tuple[str | None, ...]

    @classmethod
    def of(cls, playbook: Playbook, offers: NamedOffers, language: Language) -> ActionWords:
        """Put it into a language."""
        named = [a.name_en if language == "en" else a.name_zh for a in playbook.actions]
        return cls(
            (load_table(language).offers["none"], *named),
            tuple(note_text(note, language) for note in NOTES),
            (*(one.name for one in offers.offers), None),
            (*(one.why(language) for one in offers.offers), None),
        )
