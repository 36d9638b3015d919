"""`upwell domain create`: a domain of one's own for a Service or a Route."""

from argparse import Namespace
from typing import Final

from upwell.api.objects import Object, new_object
from upwell.api.resources import DOMAIN_MAPPING, ROUTE, SERVICE
from upwell.cli.errors import CommandError, api_errors
from upwell.cli.session import Session
from upwell.cli.waiting import wait_ready
from upwell.cluster.errors import AlreadyExists

__all__ = ["create_domain", "domain_mapping", "update_domain"]

_KINDS: Final = {"ksvc": SERVICE, "service": SERVICE, "kroute": ROUTE, "route": ROUTE}


def domain_mapping(name: str, namespace: str, reference: str, tls_secret: str | None = None) -> Object:
    """The object; `reference` is NAME, ksvc:NAME or kroute:NAME, with :NAMESPACE behind. Raise CommandError."""
    words = reference.split(":") if ":" in reference else ["ksvc", reference]
    resource = _KINDS.get(words[0])
    if resource is None or len(words) > 3 or not all(words):
        raise CommandError(f"--ref {reference}: refers to nothing", "NAME, ksvc:NAME or kroute:NAME", 2)
    where = words[2] if len(words) == 3 else namespace
    spec: dict[str, object] = {
        "ref": {"apiVersion": resource.api_version, "kind": resource.kind, "name": words[1], "namespace": where}
    }
    if tls_secret:
        spec["tls"] = {"secretName": tls_secret}
    return new_object(DOMAIN_MAPPING, namespace, name, spec=spec)


async def create_domain(session: Session, options: Namespace) -> None:
    wanted = domain_mapping(options.name, options.namespace, options.ref, options.tls)
    what = f"create domain {options.name}"
    with api_errors(what, session.kubeconfig):
        try:
            stored = await session.client.create(DOMAIN_MAPPING, wanted)
        except AlreadyExists:
            hint = f"upwell domain update {options.name} --ref …"
            raise CommandError(f"{what}: it exists in namespace {options.namespace}", hint) from None
        await _finish(session, options, stored, "created")


async def update_domain(session: Session, options: Namespace) -> None:
    wanted = domain_mapping(options.name, options.namespace, options.ref, options.tls)
    with api_errors(f"update domain {options.name}", session.kubeconfig):
        stored = await session.client.patch(
            DOMAIN_MAPPING, options.name, options.namespace, {"spec": {"tls": None, **wanted["spec"]}}
        )
        await _finish(session, options, stored, "updated")


async def _finish(session: Session, options: Namespace, stored: Object, verb: str) -> None:
    if options.wait:
        ready = await wait_ready(session.client, DOMAIN_MAPPING, stored, options.wait_timeout, options.wait_window)
        print(f"domain {options.name} {verb}\n{(ready.get('status') or {}).get('url')}")
    else:
        print(f"domain {options.name} {verb}")
