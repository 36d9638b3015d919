"""When a new revision counts as worse than the one before it."""

import random

import pytest

from controller.route.canary import Counts, counts_by_service, judge

METRICS = """# TYPE upwell_gateway_requests_total counter
upwell_gateway_requests_total{namespace="shop",service="app-1",code_class="none"} 3
upwell_gateway_requests_total{namespace="shop",service="app-1",code_class="2xx"} 90
upwell_gateway_requests_total{namespace="shop",service="app-1",code_class="5xx"} 10
upwell_gateway_requests_total{namespace="other",service="app-1",code_class="5xx"} 7
upwell_gateway_request_duration_seconds_bucket{namespace="shop",service="app-1",le="0.1"} 80
upwell_gateway_request_duration_seconds_bucket{namespace="shop",service="app-1",le="+Inf"} 103
upwell_gateway_request_duration_seconds_sum{namespace="shop",service="app-1"} 12.5
"""


def timed(requests: int, quick: int, errors: int = 0) -> Counts:
    """Of `requests`, `quick` took no longer than a tenth of a second, and none more than one."""
    return Counts(requests, errors, {0.1: quick, 1.0: requests, float("inf"): requests})


def test_a_gateways_counts_are_read_from_its_metrics() -> None:
    assert counts_by_service(METRICS, "shop") == {"app-1": Counts(100, 10, {0.1: 80, float("inf"): 103})}


@pytest.mark.parametrize(
    ("old", "new", "worse"),
    [
        (Counts(1000, 0), Counts(20, 20), True),
        (Counts(1000, 0), Counts(19, 19), False),  # too few to tell
        (Counts(19, 0), Counts(1000, 1000), False),
        (Counts(1000, 0), Counts(100, 1), False),  # one failure is chance, or not worth it
        (Counts(1000, 500), Counts(100, 55), False),  # the old one is as bad
        (Counts(1000, 500), Counts(100, 95), True),
        (Counts(10**6, 0), Counts(10**6, 5000), False),  # certain, and too little to matter
        (Counts(1000, 500), Counts(100, 0), False),  # better
    ],
)
def test_errors_count_when_they_are_more_by_a_margin_and_not_by_chance(old: Counts, new: Counts, worse: bool) -> None:
    assert bool(judge(old, new)) is worse


@pytest.mark.parametrize(
    ("quick", "worse"),
    [(100, False), (95, False), (88, False), (60, True), (0, True)],
)
def test_slowness_is_what_the_old_revision_hardly_ever_was(quick: int, worse: bool) -> None:
    assert bool(judge(timed(1000, 970), timed(100, quick))) is worse


def test_the_words_say_what_was_counted() -> None:
    assert judge(Counts(940, 1), Counts(60, 31)) == "31 of 60 requests failed, while 1 of 940 did before it"
    assert judge(timed(1000, 970), timed(100, 20)) == (
        "80 of 100 requests took longer than 0.1s, while 30 of 1000 did before it"
    )


def test_a_revision_that_is_as_good_is_hardly_ever_taken_back() -> None:
    rng = random.Random(1)
    taken_back = 0
    for _ in range(200):
        old = new = Counts()
        for _ in range(30):
            old += Counts(100, sum(rng.random() < 0.05 for _ in range(100)))
            new += Counts(10, sum(rng.random() < 0.05 for _ in range(10)))
            if judge(old, new):
                taken_back += 1
                break

    assert taken_back <= 2
