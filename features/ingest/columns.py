"""Which column of a file is which column of the data contract."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from features.errors import InputError

CONTRACT = {
    "customer_id": "who bought",
    "ordered_at": "when",
    "amount": "what the customer paid for the line, after discount",
    "order_id": "lines with one order_id are one order",
    "quantity": "pieces",
    "unit_price": "price of one piece",
    "discount": "informative, never subtracted again",
    "cost": "cost of the goods",
    "category": "what was bought",
    "channel": "where it was bought",
    "arrived_at": "when the line became known",
}
"""The columns of `orders`, with what they mean."""


def resolve_columns(present: Sequence[str], mapping: Mapping[str, str]) -> dict[str, str]:
    """Find the file's column for each contract column that the file has.

    A mapped column is taken as named; any other contract column is taken if the file has one of
    its name, in any letter case where only one fits.

    >>> resolve_columns(["Customer_ID", "ordered_at", "amount"], {})
    {'customer_id': 'Customer_ID', 'ordered_at': 'ordered_at', 'amount': 'amount'}

    The amount is the column `amount`, or else quantity times unit price; a mapping of those two
    wins over a column that is merely called so.

    >>> file = ["who", "ordered_at", "amount", "n", "price"]
    >>> resolve_columns(file, {"customer_id": "who", "quantity": "n", "unit_price": "price"})
    {'customer_id': 'who', 'ordered_at': 'ordered_at', 'quantity': 'n', 'unit_price': 'price'}
    >>> resolve_columns(["Customer ID", "ordered_at", "amount"], {})
    Traceback (most recent call last):
    ...
    features.errors.InputError: no column for customer_id; name it with \
`--map customer_id='Customer ID'` (the file has 'Customer ID', 'ordered_at', 'amount')

    Raises
    ------
    InputError
        The mapping names an unknown contract column or a column that the file lacks, or a
        required column is missing.
    """
    _check_mapping(present, mapping)
    found = {
        column: named
        for column in CONTRACT
        if (named := mapping.get(column) or _by_name(column, present)) is not None
    }
    _check_required(found, present)
    return _one_amount(found, mapping)


def _by_name(column: str, present: Sequence[str]) -> str | None:
    if column in present:
        return column
    alike = [name for name in present if name.lower() == column]
    return alike[0] if len(alike) == 1 else None


def _check_mapping(present: Sequence[str], mapping: Mapping[str, str]) -> None:
    for column, named in mapping.items():
        if column not in CONTRACT:
            close = difflib.get_close_matches(column, CONTRACT, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise InputError(
                f"{column} is no column of orders{hint} (map one of {', '.join(CONTRACT)})"
            )
        if named not in present:
            raise InputError(
                f"column {named!r}, mapped to {column}, is not in the file"
                f"{_did_you_mean(named, present)} (the file has {_listed(present)})"
            )


def _check_required(found: Mapping[str, str], present: Sequence[str]) -> None:
    for column in ("customer_id", "ordered_at"):
        if column not in found:
            guess = _closest(column, present)
            raise InputError(
                f"no column for {column}; name it with "
                f"`--map {column}={_quoted(guess) if guess else 'COLUMN'}` "
                f"(the file has {_listed(present)})"
            )
    if "amount" not in found and not {"quantity", "unit_price"} <= set(found):
        missing = "unit_price" if "quantity" in found else "amount"
        guess = _closest(missing, present)
        remedy = f"name it with `--map {missing}={_quoted(guess) if guess else 'COLUMN'}`" + (
            "" if missing == "unit_price" else ", or map quantity and unit_price"
        )
        raise InputError(f"no column for {missing}; {remedy} (the file has {_listed(present)})")


def _one_amount(found: dict[str, str], mapping: Mapping[str, str]) -> dict[str, str]:
    """Keep either the amount or the unit price, whichever gives the money."""
    both_mapped = {"quantity", "unit_price"} <= set(mapping)
    product = "amount" not in found or ("amount" not in mapping and both_mapped)
    dropped = "amount" if product else "unit_price"
    return {column: named for column, named in found.items() if column != dropped}


def _did_you_mean(name: str, present: Sequence[str]) -> str:
    close = _closest(name, present)
    return f"; did you mean {close!r}?" if close else ""


def _closest(name: str, present: Sequence[str]) -> str | None:
    plain = {_plain(candidate): candidate for candidate in present}
    close = difflib.get_close_matches(_plain(name), plain, n=1)
    return plain[close[0]] if close else None


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _quoted(name: str) -> str:
    return name if name.replace("_", "").isalnum() else f"'{name}'"


def _listed(present: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in present[:20])
    return shown + (f" and {len(present) - 20} more" if len(present) > 20 else "")
