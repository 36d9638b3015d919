"""The words of `upwell simulate`; in a file of their own, so that no other command loads the lab."""

import argparse
from pathlib import Path

__all__ = ["add_options"]


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", nargs="?", type=Path, metavar="SERVICE.yaml", help="its annotations are the policy")
    command.add_argument(
        "--trace", type=Path, metavar="FILE", help="a CSV `arrival_s,duration_s`, or Azure's counts per minute; .gz too"
    )
    command.add_argument(
        "--generate",
        metavar="KIND:…",
        help="traffic made up: steady, poisson, ramp, spike, diurnal or on-off, as in poisson:rate=20,for=10m",
    )
    command.add_argument("--function", metavar="HASH", help="of counts per minute, only this HashFunction")
    command.add_argument(
        "--model",
        choices=("auto", "requests", "minutes"),
        default="auto",
        help="for counts per minute: each request, or load per minute (default: requests for one function)",
    )
    command.add_argument(
        "--cold-start", metavar="TIME", default="1s", help="until a pod is ready: 2s, lognormal:p50=1s,p99=4s … (1s)"
    )
    command.add_argument(
        "--service-time", metavar="TIME", default="100ms", help="of a request where the trace does not say (100ms)"
    )
    command.add_argument(
        "--just-deployed", action="store_true", help="begin with the deployment, at the initial scale, not at rest"
    )
    command.add_argument("--config", type=Path, metavar="FILE", help="the cluster's config-autoscaler, as YAML")
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a key of config-autoscaler; may be repeated"
    )
    command.add_argument("--compare", nargs="+", type=Path, default=[], metavar="FILE", help="Services side by side")
    command.add_argument("--sweep", metavar="NAME=A..B,…", help="vary settings: target=10..100,window=6s..120s")
    command.add_argument("--seed", type=int, default=0, help="of all that is random (default: 0)")
    command.add_argument("--jobs", type=int, default=0, metavar="N", help="processes (default: one per processor)")
    command.add_argument("--json", type=Path, metavar="FILE", help="figures, pods and timeline for programs")
    command.add_argument("--csv", type=Path, metavar="FILE", help="the timeline, a line per point")
    command.add_argument("--html", type=Path, metavar="FILE", help="one page with charts, that needs nothing else")
