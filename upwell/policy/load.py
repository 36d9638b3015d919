"""What a reporter says of its load; the figures that decisions are made of."""

from typing import Protocol

__all__ = ["Load"]


class Load(Protocol):
    """The figures of one report; `upwell.api.stat.Stat` is one."""

    @property
    def average_concurrent_requests(self) -> float: ...
    @property
    def average_proxied_concurrent_requests(self) -> float: ...
    @property
    def request_count(self) -> float: ...
    @property
    def proxied_request_count(self) -> float: ...
