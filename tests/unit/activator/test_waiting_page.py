"""Who is shown the waiting page, what of it can be set, and how long a visit counts."""

import asyncio

import pytest

from activator.waiting_page import BODY_MOST, Visits, is_navigation, read_waiting_page
from upwell.api.objects import Key
from upwell.clock import FakeClock
from upwell.http.message import read_request_head

PAGE = "serving.upwell.dev/waiting-page"
BROWSER = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nSec-Fetch-Mode: navigate\r\n"


def navigates(headers: str, method: str = "GET") -> bool:
    head = f"{method} / HTTP/1.1\r\nHost: hello.example.com\r\n{headers}\r\n"
    return is_navigation(read_request_head(head.encode(), "1.2.3.4"))


@pytest.mark.parametrize(
    ("headers", "shown"),
    [
        (BROWSER, True),
        ("Accept: text/html\r\n", True),
        ("Accept: application/json\r\nAccept: Text/HTML; q=0.5\r\n", True),
        ("", False),
        ("Accept: */*\r\n", False),
        ("Accept: application/json\r\n", False),
        ("Accept: text/html;q=0, */*\r\n", False),
        ("Accept: text/html;q=0.0\r\n", False),
        ("Accept: text/html\r\nSec-Fetch-Mode: cors\r\n", False),
        ("Accept: text/html\r\nX-Requested-With: XMLHttpRequest\r\n", False),
        ("Accept: text/html\r\nConnection: upgrade\r\nUpgrade: websocket\r\n", False),
    ],
)
def test_only_a_browser_that_navigates_is_shown_the_page(headers: str, shown: bool) -> None:
    assert navigates(headers) is shown


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE"])
def test_what_is_not_a_get_waits(method: str) -> None:
    assert not navigates(BROWSER, method)


@pytest.mark.parametrize("switch", ["true", "True", "enabled"])
def test_the_default_page_says_who_starts_and_is_kept_by_nobody(switch: str) -> None:
    page = read_waiting_page("he<llo", {PAGE: switch})

    assert page is not None
    status, fields, body = page.answer()
    assert status == 503
    assert b"he&lt;llo is starting" in body
    assert (
        dict(fields).items()
        >= {
            b"Refresh": b"2",
            b"Retry-After": b"2",
            b"Cache-Control": b"no-store",
            b"Content-Type": b"text/html; charset=utf-8",
            b"Upwell-Error": b"activator; reason=starting",
        }.items()
    )


@pytest.mark.parametrize("switch", ["", "false", "disabled", "yes please"])
def test_without_the_annotation_there_is_no_page(switch: str) -> None:
    assert read_waiting_page("hello", {PAGE: switch} if switch else {}) is None


def test_status_pause_and_body_can_be_set() -> None:
    page = read_waiting_page(
        "a&b",
        {
            PAGE: "true",
            f"{PAGE}-status": "202",
            f"{PAGE}-refresh": "10",
            f"{PAGE}-body": "<h1>{{name}} wächst</h1>",
        },
    )

    assert page is not None
    assert (page.status, page.refresh, page.body) == (202, 10, "<h1>a&amp;b wächst</h1>".encode())


@pytest.mark.parametrize(("status", "refresh"), [("99", "0"), ("600", "61"), ("204", "-1"), ("ok", "2s"), ("²", "٣")])
def test_what_cannot_be_used_has_its_default(status: str, refresh: str) -> None:
    page = read_waiting_page("hello", {PAGE: "true", f"{PAGE}-status": status, f"{PAGE}-refresh": refresh})

    assert page is not None
    assert (page.status, page.refresh) == (503, 2)


def test_a_body_that_is_too_large_is_not_sent() -> None:
    page = read_waiting_page("hello", {PAGE: "true", f"{PAGE}-body": "x" * (BODY_MOST + 1)})

    assert page is not None
    assert b"hello is starting" in page.body


async def test_a_visit_counts_until_the_browser_should_be_back() -> None:
    clock, left = FakeClock(), list[Key]()
    visits = Visits(left.append, clock)
    running = asyncio.create_task(visits.run())
    visits.add(Key("default", "one"), 2)
    await clock.advance(1)
    visits.add(Key("default", "two"), 2)

    await clock.advance(2.9)
    assert left == []
    await clock.advance(0.2)
    assert left == [Key("default", "one")]
    await clock.advance(1)
    assert left == [Key("default", "one"), Key("default", "two")]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_visits_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("activator.waiting_page.VISITS_MOST", 2)
    left = list[Key]()
    visits = Visits(left.append, FakeClock())

    for name in ("one", "two", "three"):
        visits.add(Key("default", name), 2)

    assert left == [Key("default", "one")]
    assert len(visits) == 2
