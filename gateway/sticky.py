"""Stickiness: which part of a split a client keeps to, for routes that ask for it.

    serving.upwell.dev/stickiness: client-address | header=NAME | cookie=NAME

Weighted rendezvous hashing (Thaler and Ravishankar 1998; weights as by Schindelhauer and Schomaker 2005): each part i
has for a client's key k a number u_i in (0, 1) that looks random and is always the same, and the part with the highest
-w_i / ln(u_i) gets the client. Over many clients each part gets w_i / Σw. When percentages change, a client moves only
to a part that gained or away from one that lost, so 10 % → 20 % moves a tenth of them; all gateways agree without a
word between them. A client without the header or the cookie is dealt a part like any other.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from upwell.api.stickiness import COOKIE, HEADER, parse_stickiness

__all__ = ["Client", "Stickiness", "choose_part"]

_SPACE: Final = 2.0**64


class Client(Protocol):
    """What is asked of a request."""

    @property
    def peer(self) -> str:
        """The address that it came from."""
        ...

    def get(self, name: bytes) -> bytes | None: ...

    def get_all(self, name: bytes) -> list[bytes]: ...


@dataclass(frozen=True, slots=True)
class Stickiness:
    """What tells one client from another."""

    kind: str
    name: bytes
    """Of the header, in lower case, or of the cookie; empty for the address."""

    @classmethod
    def parse(cls, text: str) -> "Stickiness":
        """Read the annotation's value; raise ValueError saying what would be right."""
        kind, name = parse_stickiness(text)
        return cls(kind, (name.lower() if kind == HEADER else name).encode())

    def key(self, client: Client) -> bytes | None:
        """What stands for the client; None when it does not say."""
        if self.kind == HEADER:
            return client.get(self.name) or None
        if self.kind == COOKIE:
            return _cookie(client.get_all(b"cookie"), self.name)
        # In front of us may be a load balancer; whoever forges this only chooses a part, as with a cookie.
        forwarded = client.get(b"x-forwarded-for") or b""
        return forwarded.partition(b",")[0].strip() or client.peer.encode()


def choose_part(key: bytes, parts: Sequence[tuple[str, int]]) -> int:
    """The number of the part that `key` keeps to; `parts` are names and positive weights.

    Parts of the same name count as one, whose number is that of the first.
    """
    weights: dict[str, int] = {}
    for name, weight in parts:
        weights[name] = weights.get(name, 0) + weight
    best = max(weights, key=lambda name: _score(key, name, weights[name]))
    return next(number for number, (name, _) in enumerate(parts) if name == best)


def _score(key: bytes, name: str, weight: int) -> float:
    digest = hashlib.blake2b(b"%b\0%b" % (key, name.encode()), digest_size=8).digest()
    share = (int.from_bytes(digest, "big") + 0.5) / _SPACE
    return math.inf if share >= 1.0 else -weight / math.log(share)


def _cookie(fields: Sequence[bytes], name: bytes) -> bytes | None:
    for field in fields:
        for pair in field.split(b";"):
            found, _, value = pair.strip().partition(b"=")
            if found == name and value:
                return value
    return None
