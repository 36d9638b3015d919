"""Requests that ask after the activator itself: the kubelet's, the network's, the autoscaler's.

They are told apart by headers, never by path (contract: activator.md 4). One thing is deliberately better than in the
reference: health says whether this activator can serve, and has nothing to do with the autoscaler. There, an
autoscaler out of reach for 25 seconds makes every activator unready, and after two minutes has all of them restarted,
with the requests they hold.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from upwell.http import RequestHead

__all__ = ["Answer", "Health", "answer_probe", "text"]

_TEXT: Final = ((b"Content-Type", b"text/plain; charset=utf-8"), (b"X-Content-Type-Options", b"nosniff"))
_NO_HASH: Final = b'a probe request must contain a non-empty "K-Network-Hash" header'
_ESCAPES: Final = ((b"&", b"&amp;"), (b"'", b"&#39;"), (b"<", b"&lt;"), (b">", b"&gt;"), (b'"', b"&#34;"))


class Answer(NamedTuple):
    """What is answered without any upstream."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""


def text(status: int, line: bytes, *more: tuple[bytes, bytes]) -> Answer:
    """One line of plain text."""
    return Answer(status, (*_TEXT, *more), line + b"\n")


class Health:
    """Whether this activator can serve; what the kubelet is told."""

    def __init__(self, unfilled: Callable[[], str] = str) -> None:
        """`unfilled` says what is waited for before the start; nothing, where that is not known."""
        self._unfilled = unfilled
        self.started = False
        """Set once the revisions are known."""
        self.draining = False

    def answer(self) -> Answer:
        if self.draining:
            return text(500, b"received SIGTERM from kubelet")
        if not self.started:
            waiting = self._unfilled()
            more = f"; waiting for copies of: {waiting}" if waiting else ""
            return text(500, b"the revisions are not known yet" + more.encode())
        return Answer(200)


def answer_probe(request: RequestHead, health: Health) -> Answer | None:
    """The answer to a probe; None for a request that is none."""
    fields = request.fields
    if fields.get(b"k-kubelet-probe") or fields.get(b"user-agent", b"").startswith(b"kube-probe/"):
        return health.answer()
    probe = fields.get(b"k-network-probe")
    if not probe:
        return None
    if probe == b"activator":
        return Answer(200, (), b"activator")
    if probe != b"probe":
        return text(400, b'unexpected probe header value: "' + _escape(probe) + b'"')
    network_hash = fields.get(b"k-network-hash")
    if not network_hash:
        return text(400, _NO_HASH)
    return Answer(200, ((b"K-Network-Hash", network_hash),))


def _escape(value: bytes) -> bytes:
    for character, entity in _ESCAPES:
        value = value.replace(character, entity)
    return value
