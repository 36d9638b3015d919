"""The load of one scenario, for locust; `python -m bench.load` starts it with the settings in the environment."""

import os

from locust import HttpUser, LoadTestShape, constant_pacing, task

from bench.scenarios import SCENARIOS

SCENARIO = SCENARIOS[os.environ.get("UPWELL_SCENARIO", "steady")]
USERS = int(os.environ.get("UPWELL_USERS", "40"))
SECONDS = float(os.environ.get("UPWELL_SECONDS", "60"))


class Visitor(HttpUser):
    """Asks twice a second; the app takes as long as it is told to."""

    wait_time = constant_pacing(0.5)

    @task
    def hello(self) -> None:
        self.client.get(
            f"/?ms={os.environ.get('UPWELL_MS', '100')}", headers={"Host": os.environ["UPWELL_HOST"]}, name="/"
        )


class Shape(LoadTestShape):
    """Users over time as the scenario says; ends by itself."""

    def tick(self) -> tuple[int, float] | None:
        elapsed: float = self.get_run_time()  # type: ignore[no-untyped-call]  # locust has no types here
        if elapsed >= SECONDS:
            return None
        return SCENARIO.users_at(elapsed / SECONDS, USERS), 100.0
