"""Telling everyone where the holder of a bucket is: a Service named as the bucket, and one address behind it.

The EndpointSlice names the port that this replica really listens on, so that replicas on one machine find each other
too. Both objects stay when the bucket changes hands; the next holder writes its own address over it. Source: contract,
autoscaler.md 12.
"""

from typing import Any, Final

from upwell.api.names import LABEL_SLICE_SERVICE, PORT_STAT_SERVER
from upwell.api.objects import new_object
from upwell.api.resources import CORE_SERVICE, ENDPOINT_SLICE
from upwell.clock import Clock
from upwell.cluster.backoff import Backoff
from upwell.cluster.client import Client
from upwell.cluster.endpoints import Address
from upwell.cluster.errors import AlreadyExists, ApiError
from upwell.telemetry import log

__all__ = ["PORT_NAME", "advertise"]

LOG: Final = log.get("buckets")
PORT_NAME: Final = "http"


async def advertise(client: Client, namespace: str, bucket: str, address: Address, clock: Clock) -> None:
    """Make `address` the one behind `bucket`, however long the API server takes to be there."""
    backoff = Backoff()
    while True:
        try:
            await _write_service(client, namespace, bucket)
            await _write_slice(client, namespace, bucket, address)
        except ApiError as error:
            LOG.warning("the holder of a bucket is not advertised yet", bucket=bucket, error=str(error))
            await clock.sleep(backoff.next())
        else:
            return


async def _write_service(client: Client, namespace: str, bucket: str) -> None:
    ports = [{"name": PORT_NAME, "port": PORT_STAT_SERVER, "targetPort": PORT_STAT_SERVER, "protocol": "TCP"}]
    try:
        await client.create(CORE_SERVICE, new_object(CORE_SERVICE, namespace, bucket, spec={"ports": ports}))
    except AlreadyExists:
        pass


async def _write_slice(client: Client, namespace: str, bucket: str, address: Address) -> None:
    content: dict[str, Any] = {
        "addressType": "IPv6" if ":" in address.host else "IPv4",
        "endpoints": [{"addresses": [address.host], "conditions": {"ready": True}}],
        "ports": [{"name": PORT_NAME, "port": address.port, "protocol": "TCP"}],
    }
    labels = {"labels": {LABEL_SLICE_SERVICE: bucket}}
    try:
        await client.create(ENDPOINT_SLICE, new_object(ENDPOINT_SLICE, namespace, bucket, metadata=labels, **content))
    except AlreadyExists:
        found = await client.get(ENDPOINT_SLICE, bucket, namespace)
        if found["addressType"] != content["addressType"]:  # which cannot be changed
            await client.delete(ENDPOINT_SLICE, bucket, namespace)
            await client.create(
                ENDPOINT_SLICE, new_object(ENDPOINT_SLICE, namespace, bucket, metadata=labels, **content)
            )
        elif any(found.get(name) != value for name, value in content.items()):
            await client.update(ENDPOINT_SLICE, {**found, **content})
