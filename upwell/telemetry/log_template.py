"""The templates of the request log, and the one used when none is given.

Knative lets the operator write a Go template (contract: queue-proxy.md 11.2). The placeholders of its documentation
are understood here:

    {{.Request.Method}}  {{.Response.Latency}}  {{.Revision.Name}}  {{.TraceID}}      a field
    {{js .Request.RequestURI}}                                                        escaped for a JavaScript string
    {{.Request.Header.Get "X-Id"}}  {{index .Request.Header "X-Id"}}                  a request header

Anything else is an error when the process starts, not at the first request. In a template that begins with `{` every
text is escaped so that the line is JSON whatever a client sends; the reference escapes only what says `js`, and then
a quote mark in the wrong place breaks the line.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

__all__ = ["DEFAULT_TEMPLATE", "LogEntry", "Template", "TemplateError"]

DEFAULT_TEMPLATE: Final = (
    '{"httpRequest": {"requestMethod": "{{.Request.Method}}", "requestUrl": "{{js .Request.RequestURI}}", '
    '"requestSize": "{{.Request.ContentLength}}", "status": {{.Response.Code}}, '
    '"responseSize": "{{.Response.Size}}", "userAgent": "{{js .Request.UserAgent}}", '
    '"remoteIp": "{{js .Request.RemoteAddr}}", "serverIp": "{{.Revision.PodIP}}", '
    '"referer": "{{js .Request.Referer}}", "latency": "{{.Response.Latency}}s", '
    '"protocol": "{{.Request.Proto}}"}, "traceId": "{{.TraceID}}"}'
)


class TemplateError(ValueError):
    """A placeholder that is not understood; the text names it and those that are."""


@dataclass(slots=True)
class LogEntry:
    """What a template can say about one exchange; texts are as the client sent them."""

    method: str
    target: str
    protocol: str
    host: str
    peer: str
    """ADDRESS:PORT of the client."""
    request_size: int
    """Bytes by Content-Length; 0 without a body, -1 where the length is not known beforehand."""
    status: int
    response_size: int
    latency: float
    """Seconds."""
    trace_id: str
    namespace: str
    service: str
    configuration: str
    revision: str
    pod: str
    pod_ip: str
    header: Callable[[str], str]
    """The first value of a request header, empty without one."""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]


Value = Callable[[LogEntry], str | int | float]

_FIELDS: Final[dict[str, Value]] = {
    ".Request.Method": lambda entry: entry.method,
    ".Request.RequestURI": lambda entry: entry.target,
    ".Request.URL": lambda entry: entry.target,
    ".Request.URL.Path": lambda entry: entry.path,
    ".Request.URL.RawQuery": lambda entry: entry.query,
    ".Request.Proto": lambda entry: entry.protocol,
    ".Request.Host": lambda entry: entry.host,
    ".Request.RemoteAddr": lambda entry: entry.peer,
    ".Request.ContentLength": lambda entry: entry.request_size,
    ".Request.UserAgent": lambda entry: entry.header("user-agent"),
    ".Request.Referer": lambda entry: entry.header("referer"),
    ".Response.Code": lambda entry: entry.status,
    ".Response.Size": lambda entry: entry.response_size,
    ".Response.Latency": lambda entry: entry.latency,
    ".Revision.Name": lambda entry: entry.revision,
    ".Revision.Namespace": lambda entry: entry.namespace,
    ".Revision.Service": lambda entry: entry.service,
    ".Revision.Configuration": lambda entry: entry.configuration,
    ".Revision.PodName": lambda entry: entry.pod,
    ".Revision.PodIP": lambda entry: entry.pod_ip,
    ".TraceID": lambda entry: entry.trace_id,
}
_ACTION: Final = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_HEADER: Final = re.compile(r'(?:\.Request\.Header\.Get|index\s+\.Request\.Header)\s+"([^"\\]+)"')
_JS_ESCAPES: Final = {ord(mark): f"\\u{ord(mark):04X}" for mark in "'<>&="}


class Template:
    """A parsed template; `render` gives a line with its newline."""

    __slots__ = ("_parts",)

    def __init__(self, text: str) -> None:
        """Parse; raise TemplateError."""
        is_json = text.lstrip().startswith("{") and not text.lstrip().startswith("{{")
        self._parts: list[str | Value] = []
        end = 0
        for action in _ACTION.finditer(text):
            self._parts += [text[end : action.start()], _parse_action(action[1], is_json)]
            end = action.end()
        rest = text[end:]
        if "{{" in rest:
            raise TemplateError(f'"{rest[rest.index("{{") :][:60]}" is not closed by }}}}')
        self._parts.append(rest if rest.endswith("\n") else rest + "\n")

    def render(self, entry: LogEntry) -> str:
        """The line for one exchange; a newline in a value cannot break it in two."""
        parts = (part if isinstance(part, str) else str(part(entry)) for part in self._parts)
        return "".join(parts)


def _parse_action(action: str, is_json: bool) -> Value:
    """What stands between {{ and }}, with the escaping it needs."""
    name, escape = (action[3:].lstrip(), True) if action.startswith("js ") else (action, False)
    header = _HEADER.fullmatch(name)
    if header:
        value = _header_value(header[1].lower())
    elif name in _FIELDS:
        value = _FIELDS[name]
    else:
        known = ", ".join(_FIELDS)
        raise TemplateError(
            f'"{{{{{action}}}}}" is not understood; use {known}, {{{{.Request.Header.Get "NAME"}}}}, '
            "and js before any of them"
        )
    if escape:
        return _escaped(value, javascript=True)
    return _escaped(value, javascript=False) if is_json else _one_line(value)


def _header_value(name: str) -> Value:
    return lambda entry: entry.header(name)


def _escaped(value: Value, *, javascript: bool) -> Value:
    """The value as it may stand within the quotes of a JSON string, or of a JavaScript one."""

    def read(entry: LogEntry) -> str | int | float:
        found = value(entry)
        if not isinstance(found, str):
            return found
        text = json.dumps(found)[1:-1]
        return text.translate(_JS_ESCAPES) if javascript else text

    return read


def _one_line(value: Value) -> Value:
    def read(entry: LogEntry) -> str | int | float:
        found = value(entry)
        return found.replace("\r", " ").replace("\n", " ") if isinstance(found, str) else found

    return read
