"""Who asks, and what they may: API keys by their digests."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request

from features.settings import ApiKey, Scope
from serving.endpoint.refusals import Refusal

_LOOPBACK = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})
EVERYTHING: frozenset[Scope] = frozenset({"score", "push", "admin"})


@dataclass(frozen=True)
class Caller:
    """Who asks: the name of the key, and what its holder may do."""

    name: str
    scopes: frozenset[Scope]

    def check(self, scope: Scope) -> None:
        """Refuse what the key is not for.

        Raises
        ------
        Refusal
            The scope is missing.
        """
        if scope not in self.scopes and "admin" not in self.scopes:
            raise Refusal(
                403,
                "forbidden",
                f"key {self.name!r} is for {', '.join(sorted(self.scopes))}, this needs {scope}",
            )


class Keys:
    """The accepted keys; without any, every caller on this machine may do everything.

    A key is random and long, so its plain SHA-256 cannot be searched; a slow hash, as for
    passwords, would cost more than an answer.
    """

    def __init__(self, keys: Mapping[str, ApiKey]) -> None:
        self._callers = [
            (key.sha256, Caller(name, frozenset(key.scopes))) for name, key in keys.items()
        ]

    def caller(self, request: Request) -> Caller:
        """Find who asks.

        Raises
        ------
        Refusal
            The key is wrong, or there is none and the caller is not on this machine.
        """
        if not self._callers:
            # However the server was started: without a key nobody but this machine is answered.
            if request.client is None or request.client.host not in _LOOPBACK:
                raise Refusal(
                    403,
                    "no_key_configured",
                    "no API key is configured, so only loopback is answered",
                )
            return Caller("loopback", EVERYTHING)
        header = request.headers.get("authorization", "")
        key = header[7:] if header.lower().startswith("bearer ") else ""
        given = digest_of(key or request.headers.get("x-api-key", ""))
        # Every digest is compared, so that the time taken does not tell which one was close.
        matches = [caller for digest, caller in self._callers if hmac.compare_digest(given, digest)]
        if not matches:
            raise Refusal(
                401,
                "unauthorised",
                "give a valid API key: `Authorization: Bearer KEY` or `X-API-Key`",
            )
        return matches[0]


def digest_of(key: str) -> str:
    """Digest a key as the settings hold it.

    >>> digest_of("key")[:8]
    '2c70e12b'
    """
    return hashlib.sha256(key.encode()).hexdigest()


def new_key() -> str:
    """Make a key that nobody can guess: 256 bits."""
    return secrets.token_urlsafe(32)
