"""One revision's requests: order, retries, headers and answers, on an engine that only takes notes."""

import asyncio

import pytest

from tests.unit.activator.traffic_world import (
    OTHER_HEADERS,
    REFUSED,
    RESET,
    REVISION_HEADERS,
    UNSENT,
    UPLOAD_HEADERS,
    NotedUpstream,
    settle,
    story,
)
from upwell.http import Outcome
from upwell.http.states import ExchangeState
from upwell.policy.waiting_room import WaitingRoom


async def test_a_request_that_failed_unsent_goes_on_before_all_that_wait() -> None:
    async with story() as told:
        first, second, third = told.request(), told.request(), told.request()
        await told.has_pods("10.0.0.1")
        await told.has_pods("10.0.0.1", "10.0.0.2")
        told.prober.silent.add("10.0.0.1")
        assert (first.went_to, second.went_to, third.went_to) == (["10.0.0.1"], ["10.0.0.2"], [])

        first.fail(REFUSED)
        assert first.went_to == ["10.0.0.1"]
        second.succeed()

        assert first.went_to == ["10.0.0.1", "10.0.0.2"]
        assert third.went_to == []
        first.succeed()
        assert third.went_to == ["10.0.0.2"]


async def test_a_pod_that_refused_gets_nothing_until_it_has_answered_a_probe() -> None:
    async with story(concurrency=0) as told:
        await told.has_pods("10.0.0.1")
        request = told.request()
        await settle()
        told.prober.silent.add("10.0.0.1")
        request.fail(REFUSED)
        await settle()

        assert told.request().went_to == []
        assert told.engine.discarded == ["10.0.0.1"]


async def test_what_must_not_be_sent_again_is_answered_502() -> None:
    async with story() as told:
        await told.has_pods("10.0.0.1")
        request = told.request()
        await settle()

        request.fail(RESET)

        assert request.answer is not None
        status, headers, body = request.answer
        assert (status, body) == (502, b"connection reset\n")
        assert headers[b"Upwell-Error"] == b"activator; reason=reset"
        assert told.traffic.throttler.idle


async def test_a_request_that_failed_ten_times_is_given_up() -> None:
    async with story(concurrency=0) as told:
        await told.has_pods("10.0.0.1")
        request = told.request()
        for _ in range(20):
            await settle()
            if request.answer is None:
                request.fail(REFUSED)

        assert request.attempts == 10
        assert request.answer is not None
        assert request.answer[1][b"Upwell-Error"] == b"activator; reason=connect-refused; unsent"


async def test_headers_are_changed_as_the_contract_says() -> None:
    async with story(concurrency=0) as told:
        await told.has_pods("10.0.0.1")
        plain = told.request()
        renamed = told.request(REVISION_HEADERS + "K-Original-Host: first.example.com\r\n")
        await settle()

        assert plain.forwarded["host"] == b"10.0.0.1:8012"
        assert plain.forwarded["add"] == (
            (b"K-Proxy-Request", b"activator"),
            (b"K-Original-Host", b"hello.example.com"),
        )
        assert renamed.forwarded["add"] == ((b"K-Proxy-Request", b"activator"),)
        assert plain.forwarded["remove"] >= {
            b"knative-serving-revision",
            b"knative-serving-namespace",
            b"k-network-hash",
        }
        assert b"k-original-host" not in renamed.forwarded["remove"]


async def test_the_revisions_timeouts_hold_from_the_arrival() -> None:
    async with story() as told:
        assert told.request().timeouts == (30.0, 0.0, 5.0, b"activator request timeout")


async def test_past_the_queue_limit_the_answer_is_503() -> None:
    async with story(queue_limit=1) as told:
        waiting, refused = told.request(), told.request()

        assert waiting.answer is None
        assert refused.answer is not None
        assert refused.answer[0] == 503


async def test_requests_for_a_revision_that_is_deleted_are_answered_404() -> None:
    async with story() as told:
        waiting = told.request()
        put_away = told.revisions.get("default", "hello")
        assert put_away is not None

        told.revisions._apply("DELETED", put_away)

        assert waiting.answer is not None
        assert waiting.answer[0] == 404
        again = told.request()
        assert again.answer is not None
        assert again.answer[0] == 404
        assert b"kn_revision_request_queued{" not in told.metrics.registry.render()


async def test_a_request_that_fails_when_its_revision_is_gone_does_not_wait_for_another_pod() -> None:
    async with story() as told:
        await told.has_pods("10.0.0.1")
        request = told.request()
        await settle()
        gone = told.revisions.get("default", "hello")
        assert gone is not None
        told.revisions._apply("DELETED", gone)
        assert request.answer is None

        request.fail(REFUSED)

        assert request.answer is not None
        assert request.answer[0] == 404


async def test_requests_wait_until_the_revisions_are_known() -> None:
    async with story(started=False, queue_limit=2) as told:
        early, unknown = told.request(), told.request("Knative-Serving-Namespace: a\r\nKnative-Serving-Revision: b\r\n")
        too_many = told.request()
        assert (early.answer, unknown.answer) == (None, None)
        assert too_many.answer is not None
        assert too_many.answer[0] == 503

        told.activator.start()

        assert early.answer is None
        assert unknown.answer is not None
        assert unknown.answer[0] == 404


async def test_a_crowd_is_sent_on_in_batches_and_others_get_their_turn_in_between() -> None:
    async with story(concurrency=0) as told:
        crowd = [told.request() for _ in range(200)]
        turns: list[int] = []

        def look() -> None:
            turns.append(sum(bool(one.went_to) for one in crowd))
            if turns[-1] < len(crowd):
                asyncio.get_running_loop().call_soon(look)

        look()
        await told.has_pods("10.0.0.1")

        assert [sent for sent in turns if sent] == [64, 128, 192, 200]
        assert told.room.requests == 0


async def test_the_next_of_a_crowd_do_not_go_while_a_batch_waits_for_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(NotedUpstream, "busy_connecting", True)
    async with story(concurrency=0) as told:
        crowd = [told.request() for _ in range(200)]
        await told.has_pods("10.0.0.1")

        async def until_sent(count: int) -> None:
            async with asyncio.timeout(10):
                while sum(bool(one.went_to) for one in crowd) < count:  # noqa: ASYNC110 - turns of the loop
                    await asyncio.sleep(0)

        await until_sent(64)
        for _ in range(10):
            await asyncio.sleep(0)
        assert [bool(one.went_to) for one in crowd] == [True] * 64 + [False] * 136

        for one in crowd[:64]:
            one.state = ExchangeState.SENT
        await until_sent(128)
        assert [bool(one.went_to) for one in crowd] == [True] * 128 + [False] * 72

        # Those that cannot be connected to hold nobody up for long.
        await told.clock.advance(0.06)
        await until_sent(192)


async def test_one_revisions_crowd_leaves_places_for_another() -> None:
    async with story(room=WaitingRoom(10)) as told:
        crowd = [told.request() for _ in range(9)]
        other = told.request(OTHER_HEADERS)

        assert [one.answer is None for one in crowd] == [True] * 5 + [False] * 4
        assert other.answer is None
        assert told.room.requests == 6


async def test_where_bodies_have_used_up_their_bytes_only_requests_without_one_may_wait() -> None:
    async with story(room=WaitingRoom(bytes_most=1000)) as told:
        upload = told.request(UPLOAD_HEADERS)
        upload.sends(400)
        assert not upload.held
        upload.sends(200)
        assert upload.held
        second, plain = told.request(UPLOAD_HEADERS), told.request()

        assert second.answer is not None
        assert second.answer[0] == 503
        assert (upload.answer, plain.answer) == (None, None)
        assert told.room.bytes == 600
        upload.end(Outcome.CLIENT_GONE)
        assert (told.room.bytes, told.room.requests) == (0, 1)


async def test_the_body_of_a_request_that_comes_back_counts_again() -> None:
    async with story() as told:
        upload = told.request(UPLOAD_HEADERS)
        upload.sends(300)
        assert told.room.bytes == 300
        await told.has_pods("10.0.0.1")
        assert told.room.bytes == 0
        upload.sends(50)

        told.prober.silent.add("10.0.0.1")
        upload.fail(REFUSED)

        assert told.room.bytes == 350


async def test_nobody_waits_for_revisions_that_do_not_become_known() -> None:
    async with story(started=False) as told:
        early = told.request()
        assert early.answer is None

        told.activator.lose_patience()
        late = told.request()

        for refused in (early, late):
            assert refused.answer is not None
            status, headers, body = refused.answer
            assert (status, body) == (503, b"the revisions are not known yet\n")
            assert headers[b"Retry-After"] == b"1"
        told.activator.start()
        assert told.request().answer is None


async def test_nothing_is_left_behind_when_all_have_gone() -> None:
    async with story() as told:
        await told.has_pods("10.0.0.1")
        requests = [told.request() for _ in range(5)]
        await settle()
        for request in requests[1:]:
            request.end(Outcome.CLIENT_GONE)
        requests[0].succeed()

        throttler = told.traffic.throttler
        assert throttler.idle
        assert b'kn_revision_request_queued{k8s_namespace_name="default",kn_revision_name="hello"} 0.0' in (
            told.metrics.registry.render()
        )
        told.reporter.report()
        assert told.reporter.report() == []


async def test_in_a_mesh_that_lets_pods_be_addressed_requests_carry_the_name_that_opens_it() -> None:
    async with story(concurrency=0) as told:
        told.network.configure({"enable-mesh-pod-addressability": "true"})
        await told.has_pods("10.0.0.1")
        request = told.request()
        await settle()

        assert request.went_to == ["10.0.0.1"]
        assert request.forwarded["host"] == b"hello-private.default"
        assert (b"K-Passthrough-Lb", b"true") in request.forwarded["add"]


async def test_where_pods_cannot_be_reached_requests_go_to_the_cluster_ip() -> None:
    async with story() as told:
        told.prober.silent.add("10.0.0.1")
        told.has_service("10.96.0.1")
        first, second = told.request(), told.request()
        await told.has_pods("10.0.0.1")
        await settle()

        assert (first.went_to, second.went_to) == (["10.96.0.1"], [])
        assert first.forwarded["host"] == b"10.96.0.1:80"
        first.fail(UNSENT)
        assert first.went_to == ["10.96.0.1"] * 2


async def test_what_one_pod_behind_a_service_could_not_pass_on_says_nothing_of_the_service() -> None:
    async with story() as told:
        told.network.configure({"mesh-compatibility-mode": "enabled"})
        told.has_service("10.96.0.1")
        request = told.request()
        await told.has_pods("10.0.0.1")
        await settle()
        request.fail(UNSENT)

        assert told.traffic.throttler.uses_service


async def test_a_headless_service_is_no_way_to_go() -> None:
    async with story() as told:
        told.prober.silent.add("10.0.0.1")
        told.has_service("None")
        request = told.request()
        await told.has_pods("10.0.0.1")
        await settle()

        assert request.went_to == []


async def test_with_internal_tls_requests_go_to_the_port_that_has_it() -> None:
    async with story(concurrency=0) as told:
        await told.has_pods("10.0.0.1")
        plain = told.request()
        await settle()
        told.network.configure({"system-internal-tls": "enabled"})
        secret = told.request()

        assert (plain.upstream.port, plain.upstream.secure) == (8012, None)
        assert (secret.upstream.port, secret.upstream.secure) == (8112, "tls to default")
        told.network.configure({"system-internal-tls": "Disabled"})
        assert told.request().upstream.secure is None


async def test_with_internal_tls_the_service_has_a_port_of_its_own_too() -> None:
    async with story() as told:
        told.network.configure({"system-internal-tls": "enabled", "mesh-compatibility-mode": "enabled"})
        told.has_service("10.96.0.1")
        request = told.request()
        await told.has_pods("10.0.0.1")
        await settle()

        assert (request.upstream.host, request.upstream.port) == ("10.96.0.1", 443)


async def test_settings_that_cannot_be_read_change_nothing() -> None:
    async with story(concurrency=0) as told:
        await told.has_pods("10.0.0.1")
        told.network.configure({"enable-mesh-pod-addressability": "sometimes", "system-internal-tls": "enabled"})
        request = told.request()
        await settle()

        assert request.upstream.port == 8012
