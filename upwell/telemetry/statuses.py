"""The status by which logs, metrics and traces know an exchange, also one that ended before it had an answer."""

from typing import Final

from upwell.http import Exchange, Outcome

__all__ = ["final_status"]

_WITHOUT_ANSWER: Final = {Outcome.CLIENT_GONE: 499, Outcome.BAD_REQUEST: 400, Outcome.ABORTED: 503}


def final_status(exchange: Exchange) -> int:
    """The answer's status; 499 when the client left without one, where the reference says 200; 502 when it was cut."""
    if exchange.status or exchange.outcome is None:
        return exchange.status
    return _WITHOUT_ANSWER.get(exchange.outcome, 502)
