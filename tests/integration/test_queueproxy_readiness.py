"""Readiness against real sockets: what each kind of probe accepts, and who waits for whom."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import h2.config
import h2.connection
import h2.events
import pytest

from queueproxy.probe import NotReadyError, attempt
from queueproxy.probe_spec import ProbeKind, ProbeSpec
from queueproxy.readiness import Readiness
from tests.integration.http2_peers import texts
from upwell.clock import SystemClock

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def app(serve: Serve, port: int = 0) -> AsyncIterator[int]:
    """A server whose connections are handled by `serve`; its port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", port)
    async with server:
        yield server.sockets[0].getsockname()[1]


def says(*answers: bytes, heads: list[bytes] | None = None) -> Serve:
    """Answer one request per connection, the last answer again and again."""
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        head = await reader.readuntil(b"\r\n\r\n")
        if heads is not None:
            heads.append(head)
        writer.write(answers[min(count, len(answers) - 1)])
        count += 1
        await writer.drain()

    return serve


def status(code: int, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d Any\r\nContent-Length: 0\r\n%b\r\n" % (code, headers)


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def free_port() -> int:
    async with app(silent) as port:
        return port


def spec(kind: ProbeKind, port: int, **changes: object) -> ProbeSpec:
    return ProbeSpec(kind=kind, port=port, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("code", [200, 204, 299, 304, 399])
async def test_a_status_from_200_to_399_passes(code: int) -> None:
    async with app(says(status(code))) as port:
        await attempt(spec(ProbeKind.HTTP, port), 1)


@pytest.mark.parametrize("code", [400, 404, 500, 503])
async def test_other_statuses_fail(code: int) -> None:
    async with app(says(status(code))) as port:
        with pytest.raises(NotReadyError, match=f"status {code}"):
            await attempt(spec(ProbeKind.HTTP, port), 1)


async def test_path_headers_and_agent_are_sent_as_configured() -> None:
    heads: list[bytes] = []
    headers = (("X-Probe", "yes"), ("User-Agent", "mine"), ("Host", "other"))
    async with app(says(status(200), heads=heads)) as port:
        await attempt(spec(ProbeKind.HTTP, port, path="/ready?x=1", headers=headers), 1)

    lines = heads[0].decode().split("\r\n")
    assert lines[0] == "GET /ready?x=1 HTTP/1.1"
    assert f"Host: 127.0.0.1:{port}" in lines
    assert "X-Probe: yes" in lines
    assert [line for line in lines if line.startswith("User-Agent")] == ["User-Agent: kube-probe//"]


async def test_redirects_are_followed_and_the_last_answer_decides() -> None:
    async with app(says(status(302, b"Location: /other\r\n"), status(500))) as port:
        with pytest.raises(NotReadyError, match="status 500"):
            await attempt(spec(ProbeKind.HTTP, port), 1)


async def test_redirects_without_end_fail() -> None:
    async with app(says(status(302, b"Location: /again\r\n"))) as port:
        with pytest.raises(NotReadyError, match="redirects"):
            await attempt(spec(ProbeKind.HTTP, port), 2)


@pytest.mark.parametrize(
    "answer", [b"garbage\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\n", b"x" * 200_000]
)
async def test_an_answer_that_is_not_http_fails(answer: bytes) -> None:
    async with app(says(answer)) as port:
        with pytest.raises(NotReadyError):
            await attempt(spec(ProbeKind.HTTP, port), 1)


async def test_silence_fails_when_the_time_is_up() -> None:
    async with app(silent) as port:
        with pytest.raises(NotReadyError, match=r"no answer within 0\.1 s"):
            await attempt(spec(ProbeKind.HTTP, port), 0.1)


async def test_a_tcp_probe_asks_no_more_than_a_connection() -> None:
    async with app(silent) as port:
        await attempt(spec(ProbeKind.TCP, port), 1)


async def test_a_refused_connection_is_told_from_other_failures() -> None:
    with pytest.raises(NotReadyError) as caught:
        await attempt(spec(ProbeKind.TCP, await free_port()), 1)

    assert caught.value.refused


@pytest.mark.parametrize("kind", [ProbeKind.EXEC, ProbeKind.NONE])
async def test_a_probe_that_cannot_be_run_here_fails(kind: ProbeKind) -> None:
    with pytest.raises(NotReadyError, match=r"exec probe not supported|no probe found"):
        await attempt(spec(kind, 1), 1)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def grpc_app(answer: bytes, seen: list[bytes]) -> Serve:
    """An HTTP/2 server that takes one request and sends these frames."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(24)
        writer.write(frame(4, 0, 0, b"") + frame(6, 0, 0, b"pingpong"))
        while True:
            head = await reader.readexactly(9)
            payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
            seen.append(head[3:4] + payload)
            if head[3] == 0 and head[4] & 1:
                break
        writer.write(answer)
        seen.append((await reader.readexactly(9)) + b"")
        seen.append(await reader.readexactly(9 + 8))

    return serve


@pytest.mark.parametrize(("state", "word"), [(b"\x08\x01", ""), (b"\x08\x02", "NOT_SERVING"), (b"", "UNKNOWN")])
async def test_a_grpc_probe_passes_when_the_service_is_serving(state: bytes, word: str) -> None:
    seen: list[bytes] = []
    message = b"\0" + len(state).to_bytes(4, "big") + state
    answer = (
        frame(1, 4, 1, b"\x88") + frame(0, 0, 1, message[:3]) + frame(0, 0, 1, message[3:]) + frame(1, 5, 1, b"\x88")
    )
    async with app(grpc_app(answer, seen)) as port:
        probe = attempt(spec(ProbeKind.GRPC, port, grpc_service="svc"), 1)
        if word:
            with pytest.raises(NotReadyError, match=word):
                await probe
        else:
            await probe

    assert b"/grpc.health.v1.Health/Check" in seen[1]
    assert seen[2] == b"\0" + b"\0\0\0\0\x05\x0a\x03svc"


@pytest.mark.parametrize(
    "answer",
    [
        frame(1, 5, 1, b"\x88"),
        frame(3, 0, 1, bytes(4)),
        frame(7, 0, 0, bytes(8)),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"",
    ],
    ids=["no message", "reset", "goaway", "http/1", "closed"],
)
async def test_a_grpc_probe_fails_when_nothing_is_told(answer: bytes) -> None:
    async with app(grpc_app(answer, [])) as port:
        with pytest.raises(NotReadyError):
            await attempt(spec(ProbeKind.GRPC, port), 1)


# HTTP/2 where the app speaks it


def either_version(http2: list[int], http1: int, seen: list[tuple[str, dict[str, str]]]) -> Serve:
    """An app that answers over HTTP/2 with these statuses, one per request, and over HTTP/1.1 with the other one.

    Without statuses it does not speak HTTP/2, and answers a preface as such apps do.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        start = await reader.readuntil(b"\r\n\r\n")
        if not start.startswith(b"PRI"):
            lines = start.decode().split("\r\n")[1:-2]
            seen.append(("1.1", dict(line.lower().split(": ", 1) for line in lines)))
            writer.write(status(http1))
        elif not http2:
            writer.write(status(400))
        else:
            await answer_http2(start, reader, writer)
        await writer.drain()

    async def answer_http2(start: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        peer.initiate_connection()
        data = start
        while data:
            for event in peer.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    seen.append(("2", texts(event.headers)))
                    head = [(":status", str(http2.pop(0))), ("location", "/there")]
                    peer.send_headers(event.stream_id, head, end_stream=True)
            writer.write(peer.data_to_send())
            data = await reader.read(65536)

    return serve


def detecting(port: int) -> ProbeSpec:
    return spec(ProbeKind.HTTP, port, detects_http2=True, path="/ready", headers=(("X-Mine", "1"), ("Host", "no")))


async def test_an_app_that_speaks_http_2_is_asked_again_with_the_probes_own_fields() -> None:
    seen: list[tuple[str, dict[str, str]]] = []
    async with app(either_version([200, 204], 500, seen)) as port:
        await attempt(detecting(port), 1)

    (first, asked), (second, asked_again) = seen
    assert (first, second) == ("2", "2")
    assert asked == {
        ":method": "GET",
        ":scheme": "http",
        ":path": "/ready",
        ":authority": f"127.0.0.1:{port}",
        "user-agent": "kube-probe//",
    }
    assert asked_again == {**asked, "x-mine": "1"}


async def test_the_second_question_over_http_2_decides() -> None:
    async with app(either_version([200, 503], 200, [])) as port:
        with pytest.raises(NotReadyError, match="status 503"):
            await attempt(detecting(port), 1)


async def test_redirects_are_followed_over_http_2() -> None:
    seen: list[tuple[str, dict[str, str]]] = []
    async with app(either_version([302, 200, 200], 500, seen)) as port:
        await attempt(detecting(port), 1)

    assert [fields[":path"] for _, fields in seen] == ["/ready", "/there", "/ready"]


@pytest.mark.parametrize("http2", [[], [500]], ids=["not spoken", "not ready"])
async def test_http_1_decides_where_http_2_gives_no_ready_app(http2: list[int]) -> None:
    seen: list[tuple[str, dict[str, str]]] = []
    async with app(either_version(http2, 200, seen)) as port:
        await attempt(detecting(port), 1)

    version, fields = seen[-1]
    assert version == "1.1"
    assert "x-mine" not in fields


async def test_an_app_that_is_ready_over_neither_version_is_not_ready() -> None:
    async with app(either_version([], 500, [])) as port:
        with pytest.raises(NotReadyError, match="status 500"):
            await attempt(detecting(port), 1)


async def test_an_app_that_is_silent_to_http_2_has_the_whole_time_for_http_1() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await reader.readuntil(b"\r\n\r\n")).startswith(b"PRI"):
            await reader.read()
        else:
            writer.write(status(200))

    async with app(serve) as port:
        await attempt(detecting(port), 0.3)


# Runs


async def test_callers_at_the_same_time_share_one_attempt() -> None:
    heads: list[bytes] = []
    async with app(says(status(200), heads=heads)) as port:
        readiness = Readiness([spec(ProbeKind.HTTP, port)], SystemClock())

        assert await asyncio.gather(*(readiness.check() for _ in range(5))) == [True] * 5
    assert len(heads) == 1


async def test_with_a_period_a_single_attempt_decides() -> None:
    async with app(says(status(500), status(200))) as port:
        readiness = Readiness([spec(ProbeKind.HTTP, port)], SystemClock())

        assert [await readiness.check(), await readiness.check()] == [False, True]


async def test_every_container_must_be_ready() -> None:
    async with app(silent) as port:
        specs = [spec(ProbeKind.TCP, port), spec(ProbeKind.TCP, await free_port())]

        assert not await Readiness(specs, SystemClock()).check()
        assert await Readiness(specs[:1], SystemClock()).check()


async def test_an_eager_run_waits_for_an_app_that_does_not_listen_yet() -> None:
    port = await free_port()
    readiness = Readiness([spec(ProbeKind.TCP, port, eager=True)], SystemClock())
    run = asyncio.create_task(readiness.check())
    await asyncio.sleep(0.03)
    assert not run.done()

    async with app(silent, port):
        assert await asyncio.wait_for(run, 5)


async def test_an_eager_run_wants_successes_in_a_row() -> None:
    heads: list[bytes] = []
    answers = [status(200), status(500), status(200), status(200)]
    async with app(says(*answers, heads=heads)) as port:
        readiness = Readiness([spec(ProbeKind.HTTP, port, eager=True, success_threshold=2)], SystemClock())

        assert await asyncio.wait_for(readiness.check(), 5)
    assert len(heads) == 4


async def test_a_caller_that_gives_up_leaves_the_run_to_the_next() -> None:
    port = await free_port()
    readiness = Readiness([spec(ProbeKind.TCP, port, eager=True)], SystemClock())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(readiness.check(), 0.05)
    (running,) = (task for task in asyncio.all_tasks() if task.get_name() == "readiness run")
    second = asyncio.create_task(readiness.check())

    async with app(silent, port):
        assert await asyncio.wait_for(second, 5)
    assert running.done()


@pytest.mark.parametrize("eager", [True, False])
async def test_who_waits_is_told_soon_after_the_app_listens(eager: bool) -> None:
    port = await free_port()
    readiness = Readiness([spec(ProbeKind.TCP, port, eager=eager)], SystemClock())
    waiter = asyncio.create_task(readiness.wait(10))
    await asyncio.sleep(0.05)

    async with app(silent, port):
        listening = time.monotonic()
        assert await waiter
    assert time.monotonic() - listening < 5


@pytest.mark.parametrize("eager", [True, False])
async def test_who_waits_in_vain_is_told_at_the_deadline(eager: bool) -> None:
    readiness = Readiness([spec(ProbeKind.TCP, await free_port(), eager=eager)], SystemClock())

    assert not await readiness.wait(0.1)
    await readiness.close()


async def test_closing_ends_the_run() -> None:
    readiness = Readiness([spec(ProbeKind.TCP, await free_port(), eager=True)], SystemClock())
    waiter = asyncio.create_task(readiness.check())
    await asyncio.sleep(0.01)

    await readiness.close()
    with pytest.raises(asyncio.CancelledError):
        await waiter
