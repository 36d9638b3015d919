"""When a request may be sent again: nothing may happen twice that the client wanted once."""

import pytest

from tests.unit.http.world import GET, OK, World, request, settle
from upwell.http import Exchange, FailureKind, Limits, Outcome, UpstreamFailure

IDEMPOTENT = ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE")
UNSENT = b"HTTP/1.1 502 Bad Gateway\r\nUpwell-Error: queueproxy; reason=refused; unsent\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("method", "retryable"), [(method, True) for method in IDEMPOTENT] + [("POST", False), ("PATCH", False)]
)
async def test_only_idempotent_requests_are_sent_again_once_they_have_left(
    world: World, method: str, retryable: bool
) -> None:
    client = world.client()
    upstream = await world.exchange(client, request(f"{method} / HTTP/1.1", "Content-Length: 1", body=b"x"))

    upstream.ends()

    (failure,) = world.app.failures
    assert (failure.kind, failure.retryable, failure.sent) == (FailureKind.RESET, retryable, True)
    assert failure.message == "read tcp 10.0.0.1:8080: connection closed"


async def test_a_retried_request_goes_out_again_with_its_body(world: World) -> None:
    world.app.on_failure = world.app.retry
    client = world.client()
    upstream = await world.exchange(client, request("PUT / HTTP/1.1", "Content-Length: 5", body=b"he"))
    client.sends(b"l")

    upstream.resets()
    await settle()
    second = world.upstreams[1]
    assert second.take().endswith(b"\r\n\r\nhel")
    client.sends(b"lo")
    second.sends(OK)

    assert second.got == b"lo"
    assert client.got == OK
    assert world.app.ended[0].attempts == 2
    world.quiet()


async def test_a_retried_body_in_chunks_keeps_its_trailers(world: World) -> None:
    world.app.on_failure = world.app.retry
    client = world.client()
    body = b"2\r\nhe\r\n3\r\nllo\r\n0\r\nX-Sum: 1\r\n\r\n"
    upstream = await world.exchange(client, request("PUT / HTTP/1.1", "Transfer-Encoding: chunked", body=body))

    upstream.resets()
    await settle()

    assert world.upstreams[1].got.endswith(b"\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n")


async def test_a_body_too_long_to_keep_is_never_sent_again() -> None:
    world = World(Limits(retained_bytes=10))
    client = world.client()
    upstream = await world.exchange(client, request("PUT / HTTP/1.1", "Content-Length: 100", body=b"12345678"))
    client.sends(b"901")

    world.app.on_failure = lambda exchange, failure: None
    upstream.resets()

    assert world.app.failures[0].retryable is False
    with pytest.raises(ValueError, match="must not be sent again"):
        world.app.forward(world.app.exchanges[0])


async def test_once_a_response_byte_has_left_nothing_is_retried(world: World) -> None:
    client = world.client()
    upstream = await world.exchange(client)

    upstream.sends(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    upstream.resets()

    assert world.app.failures == []
    assert world.app.outcomes == [Outcome.UPSTREAM_ABORTED]


async def test_a_half_head_is_not_a_response(world: World) -> None:
    world.app.on_failure = world.app.retry
    client = world.client()
    upstream = await world.exchange(client)

    upstream.sends(b"HTTP/1.1 200 OK\r\nContent-Le")
    upstream.ends()
    await settle()
    world.upstreams[1].sends(OK)

    assert client.got == OK


async def test_a_request_that_could_not_leave_is_retryable_whatever_it_is(world: World) -> None:
    async def refused(attempt: int) -> None:
        raise ConnectionRefusedError(111, "Connect call failed ('10.0.0.1', 8080)")

    world.connects = refused
    client = world.client()
    client.sends(request("POST / HTTP/1.1", "Content-Length: 5", body=b"hello"))
    await settle()

    (failure,) = world.app.failures
    assert (failure.kind, failure.retryable, failure.sent) == (FailureKind.CONNECT_REFUSED, True, False)
    assert client.got.endswith(b"\r\n\r\ndial tcp 10.0.0.1:8080: connect: connection refused")
    world.quiet()


async def test_an_application_can_hold_the_body_of_a_request_that_waits(world: World) -> None:
    kept: list[int] = []

    def park(exchange: Exchange) -> None:
        exchange.on_kept = hold

    def hold(exchange: Exchange, size: int) -> None:
        kept.append(size)
        exchange.hold_body()

    world.app.on_request = park
    client = world.client()
    client.sends(request("PUT / HTTP/1.1", "Content-Length: 3000", body=b"x" * 1000))
    assert not client.paused
    client.sends(b"y" * 500)
    assert client.paused

    world.app.forward(world.app.exchanges[0])
    await settle()
    assert not client.paused
    client.sends(b"z" * 1500)

    assert kept == [500]
    assert world.upstreams[-1].got.endswith(b"x" * 1000 + b"y" * 500 + b"z" * 1500)


async def test_an_upload_goes_on_at_the_second_upstream(world: World) -> None:
    world.app.on_failure = world.app.retry
    await world.warm()
    client = world.client()
    old = await world.exchange(client, request("PUT / HTTP/1.1", "Content-Length: 200000", body=b"x" * 1000))
    old.is_full()
    assert client.paused

    old.resets()
    await settle()

    assert not client.paused
    client.sends(b"y" * 199_000)
    assert len(world.upstreams[-1].got) > 200_000


async def test_an_answer_marked_unsent_can_count_as_a_failure(world: World) -> None:
    def choosy(exchange: Exchange) -> None:
        exchange.retry_unsent = True
        world.app.forward(exchange)

    world.app.on_request = choosy
    world.app.on_failure = world.app.retry
    client = world.client()

    upstream = await world.exchange(client, request("POST / HTTP/1.1", "Content-Length: 5", body=b"hello"))
    upstream.sends(UNSENT)
    await settle()
    assert [(failure.kind, failure.retryable) for failure in world.app.failures] == [(FailureKind.UNSENT, True)]
    assert upstream.take().count(b"hello") == 2
    upstream.sends(OK)

    assert client.got == OK
    assert len(world.upstreams) == 1
    world.quiet()


async def test_an_unsent_answer_with_a_body_still_to_come_costs_its_connection(world: World) -> None:
    def choosy(exchange: Exchange) -> None:
        exchange.retry_unsent = True
        world.app.forward(exchange)

    world.app.on_request = choosy
    world.app.on_failure = world.app.retry
    client = world.client()

    upstream = await world.exchange(client)
    upstream.sends(UNSENT.replace(b"Length: 0", b"Length: 9"))
    await settle()
    assert upstream.aborted
    world.upstreams[1].sends(OK)

    assert client.got == OK
    world.quiet()


async def test_an_unsent_answer_is_passed_on_when_nobody_wants_to_retry(world: World) -> None:
    client = world.client()

    (await world.exchange(client)).sends(UNSENT)

    assert client.got == UNSENT
    assert world.app.failures == []


async def test_other_errors_of_our_own_hops_are_answers(world: World) -> None:
    def choosy(exchange: Exchange) -> None:
        exchange.retry_unsent = True
        world.app.forward(exchange)

    world.app.on_request = choosy
    client = world.client()
    answer = UNSENT.replace(b"; unsent", b"; reason=unsent")

    (await world.exchange(client)).sends(answer)

    assert client.got == answer


async def test_a_stale_connection_is_not_used_for_what_must_not_be_repeated(
    world: World, engine_patch: pytest.MonkeyPatch
) -> None:
    (old,) = await world.warm()
    engine_patch.setattr("upwell.http.upstream.has_news", lambda transport: transport is old)

    used = await world.exchange(world.client(), request("POST / HTTP/1.1", "Content-Length: 0"))

    assert used is not old
    assert old.gone
    assert world.app.failures == []


async def test_what_may_be_repeated_is_sent_without_a_look(world: World, engine_patch: pytest.MonkeyPatch) -> None:
    def look(transport: object) -> bool:
        raise AssertionError("looked")

    (old,) = await world.warm()
    engine_patch.setattr("upwell.http.upstream.has_news", look)

    assert await world.exchange(world.client(), GET) is old


async def test_what_failed_on_one_old_connection_looks_at_the_next(
    world: World, engine_patch: pytest.MonkeyPatch
) -> None:
    other, last_used = await world.warm(2)
    engine_patch.setattr("upwell.http.upstream.has_news", lambda transport: transport is other)
    world.app.on_failure = world.app.retry
    client = world.client()
    assert await world.exchange(client, GET) is last_used

    last_used.resets()
    await settle()
    world.upstreams[2].sends(OK)

    assert client.got == OK
    assert other.gone
    assert world.app.ended[-1].attempts == 2


async def test_the_second_attempt_may_change_its_headers(world: World) -> None:
    def again(exchange: Exchange, failure: UpstreamFailure) -> None:
        exchange.forward(world.upstream, host=b"second.test", remove=frozenset({b"x-a"}), add=((b"X-B", b"2"),))

    world.app.on_failure = again
    client = world.client()
    upstream = await world.exchange(client, request("GET / HTTP/1.1", "X-A: 1"))

    upstream.ends()
    await settle()

    assert world.upstreams[1].got == (
        b"GET / HTTP/1.1\r\nHost: second.test\r\nX-Forwarded-For: 192.0.2.7\r\nX-B: 2\r\n\r\n"
    )
