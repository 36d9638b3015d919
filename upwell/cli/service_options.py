"""The flags of `upwell service create`, `update` and `apply`: kn's, with the same meaning.

A flag that is not given is None, so that an update leaves alone what nobody spoke of.
"""

import argparse

__all__ = ["add_edit_options", "add_traffic_options", "add_wait_options"]


def add_edit_options(command: argparse.ArgumentParser) -> None:
    """What changes the Service's template, labels and annotations."""
    _add_container_options(command)
    _add_pod_options(command)
    _add_scale_options(command)
    _add_metadata_options(command)


def _add_container_options(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("the container")
    group.add_argument("--image", help="the image to run; on a laptop only a label, --cmd says what runs")
    group.add_argument("--cmd", action="append", metavar="WORD", help="what to run instead of the image's; a word each")
    group.add_argument("--arg", action="append", metavar="WORD", help="an argument of it; may be repeated")
    group.add_argument("--workdir", metavar="FOLDER", help="where it runs (on a laptop: by default here)")
    group.add_argument("-p", "--port", metavar="[NAME:]PORT", help="where the app listens; h2c:8080 for HTTP/2")
    group.add_argument("-e", "--env", action="append", metavar="NAME=VALUE", help="NAME- takes one away")
    group.add_argument("--env-file", metavar="FILE", help="a file of NAME=VALUE lines")
    group.add_argument(
        "--env-from", action="append", metavar="cm:NAME|secret:NAME", help="all of it; with - at the end, not"
    )
    group.add_argument("--env-value-from", action="append", metavar="NAME=cm:NAME:KEY", help="one key of it")
    group.add_argument("--request", action="append", metavar="RESOURCE=QUANTITY", help="cpu=250m,memory=64Mi")
    group.add_argument("--limit", action="append", metavar="RESOURCE=QUANTITY", help="cpu=1,memory=256Mi")
    group.add_argument("--pull-policy", metavar="POLICY", help="Always, Never or IfNotPresent")
    for kind in ("readiness", "liveness"):
        group.add_argument(f"--probe-{kind}", metavar="PROBE", help="http::8080:/path, tcp::8080 or exec:CMD,ARG")
        group.add_argument(f"--probe-{kind}-opts", metavar="NAME=N,…", help="periodSeconds=5,failureThreshold=3 …")
    group.add_argument("--user", type=int, metavar="UID", help="the user who runs it")
    group.add_argument(
        "--security-context", choices=("strict", "none"), help="strict: no root, no capabilities (default for create)"
    )


def _add_pod_options(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("the pod")
    group.add_argument("--volume", action="append", metavar="NAME=SOURCE", help="cm:NAME, secret:NAME, ed:, pvc:NAME")
    group.add_argument("--mount", action="append", metavar="/PATH=SOURCE", help="a volume's name, or a source as above")
    group.add_argument("--service-account", metavar="NAME", help='"" takes it away')
    group.add_argument("--pull-secret", metavar="NAME", help='"" takes it away')
    group.add_argument("--containers", metavar="FILE", help="further containers, from a YAML file")


def _add_scale_options(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("scale and time")
    group.add_argument("--scale", metavar="N|A..B", help="the fewest and most pods; 1.. and ..5 set one of them")
    group.add_argument("--scale-min", type=int, metavar="N", help="the fewest pods")
    group.add_argument("--scale-max", type=int, metavar="N", help="the most pods; 0 is no limit")
    group.add_argument("--scale-init", type=int, metavar="N", help="pods that a new revision starts with")
    group.add_argument("--scale-activation", type=int, metavar="N", help="the fewest pods when it is not at zero")
    group.add_argument("--scale-target", type=int, metavar="N", help="the load that one pod should have")
    group.add_argument("--scale-metric", metavar="METRIC", help="concurrency, rps, cpu or memory")
    group.add_argument("--scale-utilization", type=int, metavar="PERCENT", help="of the target, before more pods come")
    group.add_argument("--scale-window", metavar="TIME", help="over which load is averaged: 6s to 1h")
    group.add_argument("--concurrency-limit", type=int, metavar="N", help="requests that a pod is given at once")
    group.add_argument("--timeout", type=int, metavar="SECONDS", help="that a request may take to its first byte")


def _add_metadata_options(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("names, labels, annotations")
    group.add_argument(
        "-l", "--label", action="append", metavar="NAME=VALUE", help="of service and revision; NAME- takes one away"
    )
    group.add_argument("--label-service", action="append", metavar="NAME=VALUE", help="of the service only")
    group.add_argument("--label-revision", action="append", metavar="NAME=VALUE", help="of the revision only")
    group.add_argument("-a", "--annotation", action="append", metavar="NAME=VALUE", help="of service and revision")
    group.add_argument("--annotation-service", action="append", metavar="NAME=VALUE", help="of the service only")
    group.add_argument("--annotation-revision", action="append", metavar="NAME=VALUE", help="of the revision only")
    group.add_argument(
        "--revision-name", metavar="NAME", help="{{.Service}}, {{.Generation}} and {{.Random 5}} are filled in"
    )
    group.add_argument(
        "--cluster-local", action=argparse.BooleanOptionalAction, help="reachable inside the cluster only, or not"
    )
    group.add_argument(
        "--lock-to-digest",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep the very image that runs, unless --image names one (default)",
    )


def add_traffic_options(command: argparse.ArgumentParser, *, tag_only: bool = False) -> None:
    group = command.add_argument_group("traffic")
    if not tag_only:
        group.add_argument(
            "--traffic", action="append", metavar="REVISION=PERCENT,…", help="by revision, tag or @latest"
        )
        group.add_argument("--untag", action="append", metavar="TAG,…", help="take tags away")
    group.add_argument(
        "--tag", action="append", metavar="REVISION=TAG,…", help="a host of its own for a revision or @latest"
    )


def add_wait_options(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("waiting")
    group.add_argument(
        "--wait", action=argparse.BooleanOptionalAction, default=True, help="until it is ready (default)"
    )
    group.add_argument("--wait-timeout", type=float, default=600, metavar="SECONDS", help="give up after that (600)")
    group.add_argument(
        "--wait-window", type=float, default=2, metavar="SECONDS", help="that it may say it is not ready (2)"
    )
