"""The words of `upwell service`, `revision`, `route` and `domain`: kn's verbs and flags, one parser each.

What a verb does is elsewhere (`upwell.cli.groups`), so that help and completion load nothing but this.
"""

import argparse
from typing import Final, TypeAlias

from upwell.cli.completion import Completes
from upwell.cli.service_options import add_edit_options, add_traffic_options, add_wait_options

__all__ = ["GROUPS", "add_cluster_options", "add_groups"]

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

GROUPS: Final = {"service": "services", "revision": "revisions", "route": "routes", "domain": "domainmappings"}
"""Each group, and the kind of object that it is about."""
_OUTPUTS: Final = ("json", "yaml", "name", "wide", "url")


def add_groups(commands: Commands) -> None:
    service = _group(commands, "service", "create, change, list, describe and delete services")
    _add_service_verbs(service)
    _add_looking(service, "service")
    export = _verb(service, "export", "print a service as a file for elsewhere")
    _add_name(export, "service")
    export.add_argument("-o", "--output", choices=("json", "yaml"), default="yaml")
    export.add_argument("--with-revisions", action="store_true", help="those that have traffic too, in order")
    _add_deleting(service, "service")
    revision = _group(commands, "revision", "list, describe and delete revisions")
    _add_looking(revision, "revision")
    _add_revision_deleting(revision)
    route = _group(commands, "route", "list and describe routes")
    _add_looking(route, "route")
    domain = _group(commands, "domain", "give services domains of their own")
    for verb, text in (("create", "a domain for a service"), ("update", "let a domain mean another service")):
        command = _verb(domain, verb, text)
        _add_name(command, "domain", "the domain, as in hello.example.com", existing=verb == "update")
        command.add_argument("--ref", required=True, metavar="NAME", help="a service; or ksvc:NAME, kroute:NAME")
        command.add_argument("--tls", metavar="SECRET", help="the secret with the domain's certificate")
        add_wait_options(command)
    _add_looking(domain, "domain")
    _add_deleting(domain, "domain")


def add_cluster_options(command: argparse.ArgumentParser) -> None:
    """Which API server, and which namespace there."""
    command.add_argument("-n", "--namespace", default="", help="default: that of the context, else default")
    command.add_argument("--kubeconfig", metavar="FILE", help="default: that of the platform running in this folder")
    command.add_argument("--context", help="a context of the kubeconfig; alone: of $KUBECONFIG or ~/.kube/config")


def _group(commands: Commands, name: str, text: str) -> Commands:
    group = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    return group.add_subparsers(dest="verb", required=True, metavar="VERB")


def _verb(group: Commands, name: str, text: str) -> argparse.ArgumentParser:
    command = group.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    add_cluster_options(command)
    return command


def _add_name(command: argparse.ArgumentParser, group: str, text: str = "", *, existing: bool = True) -> None:
    action = command.add_argument("name", metavar="NAME", help=text or f"the {group}'s name")
    if existing:
        action.completer = Completes(GROUPS[group])  # type: ignore[attr-defined] # where argcomplete looks for it


def _add_service_verbs(group: Commands) -> None:
    create = _verb(group, "create", "a new service")
    apply = _verb(group, "apply", "make a service what the flags and the file say, whether it is there or not")
    for command in (create, apply):
        command.add_argument("name", metavar="NAME", nargs="?", default="", help="not needed with -f")
        command.add_argument("-f", "--filename", metavar="FILE", help="start from a file's Service")
        command.add_argument(
            "--target", metavar="PATH", help="write it to a file or folder (- for stdout), not to a cluster"
        )
        add_edit_options(command)
        add_traffic_options(command, tag_only=True)
        add_wait_options(command)
    create.add_argument("--force", action="store_true", help="replace a service of that name")
    update = _verb(group, "update", "change a service, and nothing but what the flags speak of")
    _add_name(update, "service")
    add_edit_options(update)
    add_traffic_options(update)
    add_wait_options(update)
    wait = _verb(group, "wait", "until a service is ready")
    _add_name(wait, "service")
    add_wait_options(wait)


def _add_looking(group: Commands, kind: str) -> None:
    """`list` and `describe`."""
    listing = _verb(group, "list", f"the {kind}s there are")
    names = listing.add_argument("names", nargs="*", metavar="NAME", help="only those")
    names.completer = Completes(GROUPS[kind])  # type: ignore[attr-defined]
    listing.add_argument("-A", "--all-namespaces", action="store_true")
    listing.add_argument("-o", "--output", choices=_OUTPUTS, default="", help="instead of a table")
    if kind == "revision":
        service = listing.add_argument("-s", "--service", default="", help="only that service's")
        service.completer = Completes("services")  # type: ignore[attr-defined]
    describe = _verb(group, "describe", f"all about one {kind}")
    _add_name(describe, kind)
    describe.add_argument(
        "-o", "--output", choices=("json", "yaml", "name", "url"), default="", help="instead of words"
    )
    describe.add_argument("-v", "--verbose", action="store_true", help="labels, annotations and scale settings too")


def _add_deleting(group: Commands, kind: str) -> argparse.ArgumentParser:
    command = _verb(group, "delete", f"{kind}s, and everything that belongs to them")
    names = command.add_argument("names", nargs="*", metavar="NAME")
    names.completer = Completes(GROUPS[kind])  # type: ignore[attr-defined]
    if kind == "service":
        command.add_argument("--all", action="store_true", help="every service of the namespace")
    return command


def _add_revision_deleting(group: Commands) -> None:
    command = _add_deleting(group, "revision")
    prune = command.add_argument("--prune", metavar="SERVICE", help="that service's revisions that no traffic names")
    prune.completer = Completes("services")  # type: ignore[attr-defined]
    command.add_argument("--prune-all", action="store_true", help="the same for every service of the namespace")
