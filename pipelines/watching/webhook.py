"""Alarms to whoever must know: one POST of JSON, a few times at most.

The address is a secret: neither what is returned nor what is raised holds any of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

TRIES = 3
PAUSE_SECONDS = 0.5
"""Before the second try; twice as long before the third."""


class _NoRedirect(HTTPRedirectHandler):
    """Whoever is sent elsewhere would post a secret to a stranger."""

    def redirect_request(self, *_: object, **__: object) -> None:
        """Follow nothing."""


def post(url: str, body: Mapping[str, Any], seconds: float) -> str | None:
    """Post, and try again where the server is away or busy; gives why it failed, or None.

    Parameters
    ----------
    seconds
        How long each try may take.
    """
    data = json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "lifecycle"}
    opener = build_opener(_NoRedirect)
    said = ""
    for tried in range(TRIES):
        if tried:
            time.sleep(PAUSE_SECONDS * 2 ** (tried - 1))
        try:
            with opener.open(Request(url, data, headers), timeout=seconds):
                return None
        except HTTPError as error:
            said = f"it answered {error.code}"
            if error.code < 500 and error.code != 429:
                return said
        except (URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            said = f"it cannot be reached ({type(reason).__name__})"
        except ValueError:
            return "its address cannot be used"
    return f"{said}, {TRIES} times"
