"""`upwell explain`: the last decisions about a revision's scale, each with the numbers that led to it, in words."""

import json
from datetime import datetime
from typing import Any

from upwell.cli.components import Ask, asking
from upwell.cli.errors import CommandError, api_errors
from upwell.cli.session import Session

__all__ = ["explain"]


async def explain(session: Session, name: str, namespace: str, output: str, system_namespace: str) -> None:
    """Print why the revision `name`, or each revision of the service of that name, has the scale it has."""
    with api_errors(f"explain {name}", session.kubeconfig):
        found = await _find(asking(session, system_namespace), name, namespace)
    if not found:
        raise CommandError(
            f"{name}: nothing in namespace {namespace} of that name is scaled by the autoscaler",
            "see `upwell get revisions`; those of class hpa are explained by `kubectl describe hpa`",
        )
    if output == "json":
        print(json.dumps(found, indent=2))
        return
    print("\n\n".join(_text(revision) for revision in found))


async def _find(ask: Ask, name: str, namespace: str) -> list[dict[str, Any]]:
    found = await ask("autoscaler", f"/revisions/{namespace}/{name}")
    if found:
        return found
    listed = await ask("autoscaler", f"/revisions?namespace={namespace}")
    names = [one["name"] for revisions in listed for one in revisions if one["service"] == name]
    return [answer for revision in names for answer in await ask("autoscaler", f"/revisions/{namespace}/{revision}")]


def _text(revision: dict[str, Any]) -> str:
    lines = [_headline(revision)]
    for decision in reversed(revision["decisions"]):
        lines += ["", _moment(decision), *(f"    {line}" for line in decision["because"])]
        if decision is revision["decisions"][-1]:
            lines += _block("then", revision["applied"]) + _block("what would change it", revision["next"])
    if not revision["decisions"]:
        lines += ["", "no decision yet: no figures have come in since the autoscaler began to look after it"]
    return "\n".join(lines)


def _headline(revision: dict[str, Any]) -> str:
    bounds = revision["bounds"]
    highest = bounds["max_scale"] or "any number"
    requested = revision["requested"]
    asked = revision["desired"] if requested is None or requested < 0 else requested
    wanted = "not known yet" if asked < 0 else str(asked)
    return (
        f"{revision['namespace']}/{revision['name']}: {wanted} wanted, {revision['ready']} ready "
        f"(bounds: {bounds['min_scale']} to {highest}; metric {revision['metric']})"
    )


def _moment(decision: dict[str, Any]) -> str:
    since, at = (datetime.fromtimestamp(decision[key]).strftime("%H:%M:%S") for key in ("since", "at"))
    when = at if since == at else f"{since} to {at}"
    count = decision["desired"]
    return f"{when}  {count} {'pod' if count == 1 else 'pods'}{', in panic' if decision['in_panic'] else ''}"


def _block(title: str, lines: list[str]) -> list[str]:
    return [f"  {title}:", *(f"    {line}" for line in lines)] if lines else []
