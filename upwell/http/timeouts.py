"""The bounds on one exchange's time. Few different ones are in use, so each set of them is made once and shared."""

from typing import TYPE_CHECKING

from upwell.http.deadlines import DeadlineQueue, Deadlines

if TYPE_CHECKING:
    from upwell.http.exchange import Exchange

__all__ = ["Timeouts"]


class Timeouts:
    """How long an exchange may take in all, to its head, and between two pieces of it; seconds, 0 means for ever."""

    __slots__ = ("body", "idle", "queues")

    def __init__(self, deadlines: Deadlines, total: float, response_start: float, idle: float, body: bytes) -> None:
        self.body = body
        """The text of the 504."""
        self.idle: DeadlineQueue[Exchange] | None = None
        queues: list[DeadlineQueue[Exchange]] = []
        if total > 0:
            queues.append(deadlines.queue("exchange total", total, lambda exchange: exchange.timed_out()))
        if response_start > 0:
            queues.append(
                deadlines.queue("response start", response_start, lambda exchange: exchange.start_timed_out())
            )
        if idle > 0:
            self.idle = deadlines.queue("exchange idle", idle, lambda exchange: exchange.timed_out())
            queues.append(self.idle)
        self.queues = tuple(queues)
        """Where an exchange stands from its start to its end."""
