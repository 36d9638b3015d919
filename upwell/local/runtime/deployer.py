"""Keeps each Deployment's pods as many and as new as it says, and its status true.

Everything it decides on is in memory, so a change of scale becomes processes in the same turn of the event loop in
which it arrives. Decisions are made once per turn for each Deployment, however many of its pods changed in it.
"""

import asyncio
from dataclasses import dataclass
from functools import partial

from upwell.api.objects import Key, Object, is_deleting, key_of, uid_of
from upwell.api.resources import DEPLOYMENT
from upwell.clock import Clock
from upwell.cluster.client import Client
from upwell.local.runtime.deployments import (
    Replica,
    Rollout,
    deployment_status,
    desired_replicas,
    is_complete,
    plan,
    template_hash,
)
from upwell.local.runtime.pod import Pod
from upwell.local.runtime.pods import Pods
from upwell.local.runtime.ports import PortsExhausted
from upwell.local.runtime.status import unready_message
from upwell.local.runtime.writer import Spawn, Writer
from upwell.telemetry import log

__all__ = ["Deployer"]

LOG = log.get("deployments")


@dataclass(slots=True)
class _Entry:
    """One Deployment: the object, what was made of its template, and the status that was decided on last."""

    obj: Object
    template_hash: str
    rollout: Rollout
    status: Object | None
    writer: Writer[Object]


class Deployer:
    """See the module."""

    def __init__(self, client: Client, pods: Pods, spawn: Spawn, clock: Clock) -> None:
        self._client = client
        self._pods = pods
        self._spawn = spawn
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        """By uid."""
        self._due: set[str] = set()
        self._stopped = False

    def deployment_changed(self, old: Object | None, new: Object | None) -> None:
        """Informer handler."""
        if new is None or is_deleting(new):
            # In a foreground deletion the object stays until its pods are gone; they must not be replaced meanwhile.
            self._deleted(uid_of(new or old or {"metadata": {}}))
            return
        uid = uid_of(new)
        current_hash = template_hash(new["spec"]["template"])
        entry = self._entries.get(uid)
        if entry is None:
            self._entries[uid] = self._new_entry(new, current_hash)
        else:
            entry.obj = new
            if current_hash != entry.template_hash:
                entry.template_hash = current_hash
                entry.rollout = Rollout.NEW
        self._schedule(uid)

    def pod_changed(self, pod: Pod) -> None:
        """A pod started, became ready or not, began to end, or is gone."""
        self._schedule(pod.owner)

    def check_deadlines(self) -> None:
        """Look again at rollouts under way: that nothing happens is what they may fail by."""
        for uid, entry in self._entries.items():
            if entry.rollout is not Rollout.DONE:
                self._schedule(uid)

    def stop(self) -> None:
        """Decide nothing any more."""
        self._stopped = True

    def _new_entry(self, obj: Object, current_hash: str) -> _Entry:
        key = key_of(obj)
        status: Object | None = obj.get("status") or None
        conditions = (status or {}).get("conditions") or ()
        # A platform that starts again finds Deployments whose rollout was over long ago.
        done = any(item.get("reason") == "NewReplicaSetAvailable" for item in conditions)
        writer: Writer[Object] = Writer(
            f"status of deployment {key}", partial(self._write_status, key), self._spawn, self._clock
        )
        return _Entry(obj, current_hash, Rollout.DONE if done else Rollout.NEW, status, writer)

    def _deleted(self, uid: str) -> None:
        entry = self._entries.pop(uid, None)
        if entry is None:
            return
        self._spawn(entry.writer.close(), f"end of deployment {key_of(entry.obj)}")
        for pod in self._pods.of_owner(uid):
            self._pods.terminate(pod)

    def _schedule(self, uid: str) -> None:
        if not self._due:
            asyncio.get_running_loop().call_soon(self._decide)
        self._due.add(uid)

    def _decide(self) -> None:
        due, self._due = self._due, set()
        for uid in due:
            entry = self._entries.get(uid)
            if entry is None or self._stopped:
                continue
            try:
                self._apply(uid, entry)
            except PortsExhausted as error:
                LOG.error("pod not started", deployment=str(key_of(entry.obj)), error=str(error))
            except Exception as error:
                # A Deployment that cannot be understood must not keep the others from being looked after.
                LOG.error("deployment skipped", deployment=str(key_of(entry.obj)), error=repr(error))

    def _apply(self, uid: str, entry: _Entry) -> None:
        desired = desired_replicas(entry.obj)
        pods = {pod.key.name: pod for pod in self._pods.of_owner(uid)}
        step = plan(desired, entry.template_hash, map(_replica, pods.values()))
        for name in step.stop:
            self._pods.terminate(pods[name])
        for _ in range(step.start):
            self._pods.create(entry.obj, entry.template_hash)
        if step.start or step.stop:
            LOG.info("deployment scaled", deployment=str(key_of(entry.obj)), started=step.start, stopped=len(step.stop))
        self._report(uid, entry, desired)

    def _report(self, uid: str, entry: _Entry, desired: int) -> None:
        replicas = [_replica(pod) for pod in self._pods.of_owner(uid)]
        if is_complete(desired, entry.template_hash, replicas):
            entry.rollout = Rollout.DONE
        known = {**entry.obj, "status": entry.status}
        entry.status = deployment_status(known, entry.template_hash, replicas, entry.rollout, self._clock.now())
        if entry.rollout is Rollout.NEW:
            entry.rollout = Rollout.UNDERWAY
        entry.writer.want(entry.status)

    async def _write_status(self, key: Key, status: Object) -> None:
        await self._client.patch(DEPLOYMENT, key.name, key.namespace, {"status": status}, subresource="status")


def _replica(pod: Pod) -> Replica:
    return Replica(pod.key.name, pod.template_hash, pod.created, pod.ready, pod.problem, unready_message(pod))
