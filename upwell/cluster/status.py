"""Writing a status, and only when it says something new."""

from upwell.api.objects import Object
from upwell.api.resources import Resource
from upwell.cluster.client import Client

__all__ = ["apply_status"]


async def apply_status(client: Client, resource: Resource, obj: Object, status: Object) -> Object:
    """Make `status` the status of `obj`, which is as it was read; return the object as it is then.

    Nothing is sent when it is its status already. Raise Conflict when the object changed since it was read.
    """
    if obj.get("status") == status:
        return obj
    return await client.update_status(resource, {**obj, "status": status})
