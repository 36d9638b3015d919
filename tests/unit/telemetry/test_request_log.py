"""Lines of the request log, from heads as clients send them."""

import asyncio
import io
import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upwell.http.errors import BadRequestError
from upwell.http.message import RequestHead, read_request_head
from upwell.telemetry.log_template import DEFAULT_TEMPLATE, Template
from upwell.telemetry.request_log import RequestLog

REVISION: Any = SimpleNamespace(
    namespace="ns", service="svc", configuration="cfg", name="rev", pod="pod", pod_ip="10.1.2.3"
)
OWN = (
    '{"m": "{{.Request.Method}}", "u": "{{.Request.URL}}", "h": "{{.Request.Host}}", "a": "{{.Request.UserAgent}}", '
    '"x": "{{index .Request.Header "X-Any"}}", "j": "{{js .Request.Referer}}", "n": {{.Response.Latency}}}'
)
TEXT = st.text(st.characters(blacklist_characters="\r\n\0"), max_size=30).map(
    lambda text: text.encode("utf-8", "replace")
)
VALUE = TEXT | st.binary(max_size=30).map(lambda data: data.translate(None, b"\r\n\0"))


def logged(request: RequestHead, template: str = DEFAULT_TEMPLATE) -> str:
    """What is written for an exchange with this request."""
    output = io.BytesIO()
    exchange: Any = SimpleNamespace(request=request, status=200, outcome=None, response_bytes=5)

    async def write() -> None:
        RequestLog(Template(template), output).write(exchange, 0.25, REVISION)
        await asyncio.sleep(0)

    asyncio.run(write())
    return output.getvalue().decode()


@pytest.mark.parametrize("template", [DEFAULT_TEMPLATE, OWN], ids=["default", "own"])
@given(path=VALUE, agent=VALUE, anything=VALUE)
def test_a_line_is_json_whatever_a_client_sends(template: str, path: bytes, agent: bytes, anything: bytes) -> None:
    head = b"GET /%b HTTP/1.1\r\nHost: a\r\nUser-Agent: %b\r\nX-Any: %b\r\nReferer: %b\r\nTraceparent: %b\r\n\r\n"
    try:
        request = read_request_head(head % (path, agent, anything, anything, anything), "192.0.2.1", 7)
    except BadRequestError:
        return

    line = logged(request, template)

    assert line.count("\n") == 1
    assert isinstance(json.loads(line), dict)


@pytest.mark.parametrize(("sent", "text"), [("größer".encode(), "größer"), (b"gr\xf6\xdfer", "größer")])
def test_what_is_utf_8_is_read_as_that_and_everything_else_as_latin_1(sent: bytes, text: str) -> None:
    request = read_request_head(b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: %b\r\n\r\n" % sent, "192.0.2.1", 7)

    assert json.loads(logged(request))["httpRequest"]["userAgent"] == text
