"""Request log templates: the placeholders that Knative documents, and JSON that stays JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upwell.telemetry.log_template import DEFAULT_TEMPLATE, LogEntry, Template, TemplateError


def entry(**changes: object) -> LogEntry:
    headers = changes.pop("headers", {"user-agent": "me", "referer": "http://r/", "x-id": "7"})
    assert isinstance(headers, dict)
    values: dict[str, object] = {
        "method": "GET",
        "target": "/a?b=c",
        "protocol": "HTTP/1.1",
        "host": "h.test",
        "peer": "10.0.0.1:5",
        "request_size": 0,
        "status": 200,
        "response_size": 5,
        "latency": 0.25,
        "trace_id": "t",
        "namespace": "ns",
        "service": "svc",
        "configuration": "cfg",
        "revision": "rev",
        "pod": "pod",
        "pod_ip": "10.1.2.3",
        "header": lambda name: str(headers.get(name, "")),
    }
    return LogEntry(**(values | changes))  # type: ignore[arg-type]


def test_the_default_template_gives_the_contracts_fields() -> None:
    line = Template(DEFAULT_TEMPLATE).render(entry())

    assert line.endswith("\n")
    assert json.loads(line) == {
        "httpRequest": {
            "requestMethod": "GET",
            "requestUrl": "/a?b=c",
            "requestSize": "0",
            "status": 200,
            "responseSize": "5",
            "userAgent": "me",
            "remoteIp": "10.0.0.1:5",
            "serverIp": "10.1.2.3",
            "referer": "http://r/",
            "latency": "0.25s",
            "protocol": "HTTP/1.1",
        },
        "traceId": "t",
    }


@given(text=st.text(), header=st.text())
def test_a_json_line_is_json_whatever_the_values_hold(text: str, header: str) -> None:
    odd = entry(method=text, target=text, peer=text, trace_id=text, headers={"user-agent": header, "referer": header})
    line = Template(DEFAULT_TEMPLATE).render(odd)

    assert line.count("\n") == 1
    found = json.loads(line)["httpRequest"]
    assert (found["requestMethod"], found["requestUrl"], found["userAgent"]) == (text, text, header)


def test_an_own_template_has_every_documented_placeholder() -> None:
    template = Template(
        "{{.Request.Method}} {{.Request.Host}} {{.Request.URL.Path}} {{.Request.URL.RawQuery}} {{ .Response.Code }} "
        "{{.Revision.Name}}/{{.Revision.Namespace}}/{{.Revision.Service}}/{{.Revision.Configuration}} "
        '{{.Revision.PodName}} {{.Revision.PodIP}} {{.Request.Header.Get "X-Id"}} {{index .Request.Header "X-ID"}}'
    )

    assert template.render(entry()) == "GET h.test /a b=c 200 rev/ns/svc/cfg pod 10.1.2.3 7 7\n"


def test_js_escapes_for_a_javascript_string() -> None:
    assert Template("{{js .Request.RequestURI}}").render(entry(target="/a'b\"<&=")) == (
        '/a\\u0027b\\"\\u003C\\u0026\\u003D\n'
    )


def test_a_value_cannot_start_a_new_line() -> None:
    assert Template("REQ {{.Request.UserAgent}}").render(entry(headers={"user-agent": "a\nREQ b"})) == "REQ a REQ b\n"


def test_a_newline_is_added_only_where_there_is_none() -> None:
    assert Template("x\n").render(entry()) == "x\n"


@pytest.mark.parametrize(
    "text", ["{{.Nonsense}}", "{{if .X}}{{end}}", "{{printf .Request.Method}}", "{{", "{{.Request.Method", "{{}}"]
)
def test_what_is_not_understood_is_an_error_that_names_it(text: str) -> None:
    with pytest.raises(TemplateError) as error:
        Template(text)

    assert text[:8] in str(error.value)
