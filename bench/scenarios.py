"""The shapes of load: how many of the users are there, as a share of the scenario's time."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["SCENARIOS", "Scenario"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """Straight lines through (share of the time, share of the users)."""

    name: str
    about: str
    corners: Sequence[tuple[float, float]]

    def users_at(self, share: float, users: int) -> int:
        """The number of users when `share` (0 to 1) of the time has passed."""
        before = self.corners[0]
        for corner in self.corners:
            if share < corner[0]:
                width = corner[0] - before[0]
                part = (share - before[0]) / width if width else 1.0
                return round(users * (before[1] + part * (corner[1] - before[1])))
            before = corner
        return round(users * before[1])


_BURST = ((0, 0.1), (0.2, 0.1), (0.2, 1), (0.4, 1), (0.4, 0.1), (0.6, 0.1), (0.6, 1), (0.8, 1), (0.8, 0.1), (1, 0.1))

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("steady", "the same number of users all the time", ((0, 1), (1, 1))),
        Scenario("ramp", "from one user up to all, and down again", ((0, 0.02), (0.6, 1), (0.8, 1), (1, 0.02))),
        Scenario("burst", "few users, and all of them at once twice", _BURST),
        Scenario("idle-then-spike", "nobody until it is at zero, then everybody", ((0, 0), (0.5, 0), (0.5, 1), (1, 1))),
    )
}
