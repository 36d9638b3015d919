"""What the verbs of `upwell service`, `revision`, `route` and `domain` do: parsed words to deeds."""

import sys
from argparse import Namespace

from upwell.api import names
from upwell.api.objects import name_of
from upwell.api.resources import DOMAIN_MAPPING, REVISION, ROUTE, SERVICE, Resource
from upwell.cli import domain, service, show
from upwell.cli.describe import described
from upwell.cli.errors import CommandError, api_errors
from upwell.cli.output import print_objects
from upwell.cli.session import Session

__all__ = ["run_verb"]

_RESOURCES = {"service": SERVICE, "revision": REVISION, "route": ROUTE, "domain": DOMAIN_MAPPING}
_OWN_VERBS = {
    ("service", "create"): service.create,
    ("service", "update"): service.update,
    ("service", "apply"): service.apply_service,
    ("service", "wait"): service.wait,
    ("service", "export"): service.export,
    ("domain", "create"): domain.create_domain,
    ("domain", "update"): domain.update_domain,
}


async def run_verb(session: Session, options: Namespace) -> None:
    """Raise CommandError when it cannot be done."""
    resource = _RESOURCES[options.command]
    options.local = session.is_local
    own = _OWN_VERBS.get((options.command, options.verb))
    if own is not None:
        await own(session, options)
    elif options.verb == "list":
        namespace = "" if options.all_namespaces else options.namespace
        labels = f"{names.LABEL_SERVICE}={options.service}" if getattr(options, "service", "") else ""
        await show.get(session, resource, options.names, namespace, options.output, labels)
    elif options.verb == "describe":
        await _describe(session, resource, options)
    else:
        doomed = await _doomed(session, resource, options)
        if not doomed:
            print(f"no {resource.plural} to delete", file=sys.stderr)
        await show.delete(session, resource, doomed, options.namespace)


async def _describe(session: Session, resource: Resource, options: Namespace) -> None:
    with api_errors(f"describe {options.command} {options.name}", session.kubeconfig):
        obj = await session.client.get(resource, options.name, options.namespace)
        if options.output:
            print_objects(resource, [obj], options.output, single=True)
            return
        revisions, _ = await session.client.list(REVISION, options.namespace)
    print(described(resource, obj, revisions, verbose=options.verbose))


async def _doomed(session: Session, resource: Resource, options: Namespace) -> list[str]:
    """The names of what is to be deleted; raise CommandError when the words name nothing, or too much."""
    every = getattr(options, "all", False)
    prune, prune_all = getattr(options, "prune", None), getattr(options, "prune_all", False)
    if sum(map(bool, (options.names, every, prune, prune_all))) != 1:
        right = "NAME …" + (", or --all" if resource is SERVICE else "")
        right += ", or --prune SERVICE, or --prune-all" if resource is REVISION else ""
        raise CommandError(f"{options.command} delete: say what, in one way", right, 2)
    if options.names:
        return list(options.names)
    with api_errors(f"delete {resource.plural}", session.kubeconfig):
        labels = f"{names.LABEL_SERVICE}={prune}" if prune else ""
        objects, _ = await session.client.list(resource, options.namespace, labels=labels)
        kept = await _revisions_in_use(session, options.namespace) if resource is REVISION else set()
    return [name for name in map(name_of, objects) if name not in kept]


async def _revisions_in_use(session: Session, namespace: str) -> set[str]:
    """Revisions that traffic goes to or that have a tag, and each Service's latest."""
    found: set[str] = set()
    services, _ = await session.client.list(SERVICE, namespace)
    routes, _ = await session.client.list(ROUTE, namespace)
    for obj in (*services, *routes):
        status = obj.get("status") or {}
        targets = (*(obj["spec"].get("traffic") or ()), *(status.get("traffic") or ()))
        found |= {str(target.get("revisionName")) for target in targets}
        found |= {str(status.get(field)) for field in ("latestCreatedRevisionName", "latestReadyRevisionName")}
    return found
