"""Which column of a file is which column of the data contract."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from features.errors import InputError
from features.ingest.contract import CONTRACT, TABLES, Table


def mapping_of(table: Table, mapping: Mapping[str, str]) -> dict[str, str]:
    """Pick a table's part of a mapping of all; a name without a table is one of orders.

    >>> mapping_of("interactions", {"interactions.kind": "event_type", "amount": "total"})
    {'kind': 'event_type'}
    >>> mapping_of("orders", {"interactions.kind": "event_type", "amount": "total"})
    {'amount': 'total'}
    >>> mapping_of("orders", {"interaction.kind": "event_type"})
    Traceback (most recent call last):
    ...
    features.errors.InputError: interaction.kind names no table; write orders, customers, \
interactions, treatments or contracts before the point, as in interactions.kind

    Raises
    ------
    InputError
        A key names no table, or no column of its table.
    """
    picked = {}
    for key, named in mapping.items():
        owner, column = _owner(key)
        _check_column(owner, column)
        if owner == table:
            picked[column] = named
    return picked


def resolve_columns(
    table: Table, present: Sequence[str], mapping: Mapping[str, str]
) -> dict[str, str]:
    """Find the file's column for each contract column that the file has.

    A mapped column is taken as named; any other contract column is taken if the file has one of
    its name, in any letter case where only one fits.

    >>> resolve_columns("orders", ["Customer_ID", "ordered_at", "amount"], {})
    {'customer_id': 'Customer_ID', 'ordered_at': 'ordered_at', 'amount': 'amount'}

    The amount is the column `amount`, or else quantity times unit price; a mapping of those two
    wins over a column that is merely called so.

    >>> file = ["who", "ordered_at", "amount", "n", "price"]
    >>> mapping = {"customer_id": "who", "quantity": "n", "unit_price": "price"}
    >>> resolve_columns("orders", file, mapping)
    {'customer_id': 'who', 'ordered_at': 'ordered_at', 'quantity': 'n', 'unit_price': 'price'}
    >>> resolve_columns("orders", ["Customer ID", "ordered_at", "amount"], {})
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
    for column, named in mapping.items():
        _check_column(table, column)
        if named not in present:
            raise InputError(
                f"column {named!r}, mapped to {column}, is not in the file"
                f"{_did_you_mean(named, present)} (the file has {_listed(present)})"
            )
    found = {
        name: held
        for name in CONTRACT[table].names
        if (held := mapping.get(name) or _by_name(name, present)) is not None
    }
    for needed in CONTRACT[table].columns:
        if needed.required and needed.name not in found:
            remedy = _map_option(table, needed.name, present)
            raise InputError(
                f"no column for {needed.name}; {remedy} (the file has {_listed(present)})"
            )
    return _with_amount(found, present, mapping) if table == "orders" else found


def _owner(key: str) -> tuple[Table, str]:
    name, point, column = key.partition(".")
    if not point:
        return "orders", key
    for table in TABLES:
        if table == name:
            return table, column
    raise InputError(
        f"{key} names no table; write {', '.join(TABLES[:-1])} or {TABLES[-1]} before the point, "
        "as in interactions.kind"
    )


def _by_name(column: str, present: Sequence[str]) -> str | None:
    if column in present:
        return column
    alike = [name for name in present if name.lower() == column]
    return alike[0] if len(alike) == 1 else None


def _check_column(table: Table, column: str) -> None:
    names = CONTRACT[table].names
    if column in names:
        return
    close: Iterable[str] = difflib.get_close_matches(column, names, n=1)
    elsewhere = [f"{other}.{column}" for other in TABLES if column in CONTRACT[other].names]
    hint = "".join(f"; did you mean {name}?" for name in [*close, *elsewhere][:1])
    raise InputError(f"{column} is no column of {table}{hint} (map one of {', '.join(names)})")


def _with_amount(
    found: dict[str, str], present: Sequence[str], mapping: Mapping[str, str]
) -> dict[str, str]:
    """Keep either the amount or the unit price, whichever gives the money."""
    if "amount" not in found and not {"quantity", "unit_price"} <= set(found):
        missing = "unit_price" if "quantity" in found else "amount"
        remedy = _map_option("orders", missing, present) + (
            "" if missing == "unit_price" else ", or map quantity and unit_price"
        )
        raise InputError(f"no column for {missing}; {remedy} (the file has {_listed(present)})")
    both_mapped = {"quantity", "unit_price"} <= set(mapping)
    product = "amount" not in found or ("amount" not in mapping and both_mapped)
    dropped = "amount" if product else "unit_price"
    return {column: named for column, named in found.items() if column != dropped}


def _map_option(table: Table, column: str, present: Sequence[str]) -> str:
    guess = _closest(column, present)
    key = column if table == "orders" else f"{table}.{column}"
    return f"name it with `--map {key}={_quoted(guess) if guess else 'COLUMN'}`"


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
