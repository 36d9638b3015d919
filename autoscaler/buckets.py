"""The shares into which revisions are divided among replicas of the autoscaler.

Each revision belongs to one bucket, by a hash of its key that every replica (and Knative's own) computes alike. With
leases, a bucket belongs to whoever holds the Lease of its name; in a StatefulSet, bucket i belongs to the pod with
ordinal i, for ever, and is named by that pod's URL. Source: contract, autoscaler.md 12.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from upwell.api.names import CLUSTER_DOMAIN, SYSTEM_NAMESPACE
from upwell.api.objects import Key
from upwell.policy.subset import choose_subset
from upwell.ports import ConfigError

__all__ = ["BUCKET_PREFIX", "Buckets", "StatefulSet"]

BUCKET_PREFIX: Final = "autoscaler-bucket"
REMEMBERED_KEYS: Final = 65_536
"""A key's bucket takes up to a tenth of a millisecond to compute, and is asked for with every statistic."""


class Buckets:
    """The buckets by name, and which revision belongs to which."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.of = self._of_only if len(self.names) == 1 else lru_cache(REMEMBERED_KEYS)(self._of_many)
        """`of(key)` is the name of the bucket that the revision belongs to."""

    @classmethod
    def leased(cls, count: int) -> "Buckets":
        """`count` buckets under the names of their Leases."""
        return cls([_name(ordinal, count) for ordinal in range(count)])

    def object_name(self, bucket: str) -> str:
        """A name for objects that belong to `bucket`; its own, where that is no URL."""
        return _name(self.names.index(bucket), len(self.names))

    def _of_only(self, key: Key) -> str:
        return self.names[0]

    def _of_many(self, key: Key) -> str:
        (name,) = choose_subset(self.names, 1, f"{key.namespace}/{key.name}")
        return name


def _name(ordinal: int, count: int) -> str:
    return f"{BUCKET_PREFIX}-{ordinal:02d}-of-{count:02d}"


class StatefulSet:
    """This replica's place in a StatefulSet, where ordinals take the part of leases."""

    def __init__(self, ordinal: int, urls: tuple[str, str]) -> None:
        """`urls` are what stands before and after the ordinal in a replica's URL."""
        self.ordinal = ordinal
        self._urls = urls

    def buckets(self, count: int) -> Buckets:
        return Buckets([str(ordinal).join(self._urls) for ordinal in range(count)])

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "StatefulSet | None":
        """None where the process is no part of one; raise ConfigError."""
        pod, service = env.get("STATEFUL_CONTROLLER_ORDINAL", ""), env.get("STATEFUL_SERVICE_NAME", "")
        if not pod and not service:
            return None
        if not (pod and service):
            raise ConfigError("STATEFUL_CONTROLLER_ORDINAL and STATEFUL_SERVICE_NAME have to be set both, or neither")
        name, dash, ordinal = pod.rpartition("-")
        if not (dash and ordinal.isascii() and ordinal.isdigit()):
            raise ConfigError(f'STATEFUL_CONTROLLER_ORDINAL="{pod}": not a pod of a StatefulSet such as autoscaler-0')
        port = env.get("STATEFUL_SERVICE_PORT") or "80"
        if not (port.isascii() and port.isdigit() and 0 < int(port) <= 65535):
            raise ConfigError(f'STATEFUL_SERVICE_PORT="{port}": ports are 1 to 65535')
        protocol = env.get("STATEFUL_SERVICE_PROTOCOL") or "http"
        namespace = env.get("SYSTEM_NAMESPACE") or SYSTEM_NAMESPACE
        domain = env.get("CLUSTER_DOMAIN") or CLUSTER_DOMAIN
        return cls(int(ordinal), (f"{protocol}://{name}-", f".{service}.{namespace}.svc.{domain}:{port}"))
