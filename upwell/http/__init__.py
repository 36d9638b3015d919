"""The proxy engine: connections, parsing, exchanges, pools, deadlines, drain. Imports nothing of ours but the clock."""

from upwell.http.engine import Engine, Listener
from upwell.http.errors import FailureKind, FetchError, Outcome, UpstreamFailure
from upwell.http.exchange import Exchange
from upwell.http.fetch import Fetcher, FetchResult
from upwell.http.limits import Limits
from upwell.http.message import Fields, RequestHead, ResponseHead
from upwell.http.pool import Upstream
from upwell.http.sides import Application

__all__ = [
    "Application",
    "Engine",
    "Exchange",
    "FailureKind",
    "FetchError",
    "FetchResult",
    "Fetcher",
    "Fields",
    "Limits",
    "Listener",
    "Outcome",
    "RequestHead",
    "ResponseHead",
    "Upstream",
    "UpstreamFailure",
]
