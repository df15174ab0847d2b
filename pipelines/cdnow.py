"""CDNOW, the demo's real orders, read as data out of an installed package.

All purchases, to June 1998, of the 23,570 customers of an online music shop who first bought in
the first quarter of 1997; published for research by Fader and Hardie (2001). The file travels in
the wheel of ``lifetimes``, which is never imported.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import polars as pl

from features.errors import InputError

MAPPING = {"ordered_at": "date", "amount": "dollar_value", "quantity": "number_of_cds"}
LAST_DAY = "1998-06-30"


def cdnow_file() -> Path:
    """Find the file in the installed package.

    Raises
    ------
    InputError
        The package is not installed.
    """
    spec = find_spec("lifetimes")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            "the demo's data comes in the package lifetimes, which is not installed; "
            "run `make install`"
        )
    return Path(spec.submodule_search_locations[0]) / "datasets" / "CDNOW_master.txt"


def read_cdnow(path: Path) -> pl.DataFrame:
    """Read the fixed-width lines: customer, day, number of CDs, dollars.

    Returns
    -------
    polars.DataFrame
        ``customer_id`` (Int64), ``date`` (String, YYYYMMDD), ``number_of_cds`` (Int64),
        ``dollar_value`` (Float64); one row a line, 69,659 in all.
    """
    lines = pl.Series("line", path.read_text(encoding="ascii").splitlines()[1:])
    cells = lines.str.extract_all(r"\S+")
    return pl.DataFrame(
        {
            "customer_id": cells.list.get(0).cast(pl.Int64),
            "date": cells.list.get(1),
            "number_of_cds": cells.list.get(2).cast(pl.Int64),
            "dollar_value": cells.list.get(3).cast(pl.Float64),
        }
    )
