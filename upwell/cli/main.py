"""The `upwell` command: its words, and what each of them runs."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

from upwell.cli.errors import CommandError
from upwell.cli.simulate_options import add_options as add_simulate_options

__all__ = ["build_parser", "main"]


Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def build_parser() -> tuple[argparse.ArgumentParser, Commands]:
    """The command line's parser, and that of each command."""
    parser = argparse.ArgumentParser(
        prog="upwell",
        description="HTTP services that well up from zero when a request arrives, and sink back to zero.",
        epilog="Exit codes: 0 done, 1 failed, 2 the command's words are off, 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"upwell {version('upwell')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_platform_commands(commands)
    _add_object_commands(commands)
    _add_lab_command(commands)
    return parser, commands


def _add_platform_commands(commands: Commands) -> None:
    demo = commands.add_parser("demo", help="a service from zero to N and back, on this machine")
    demo.add_argument("--file", type=Path, help="the Service to show (default: examples/hello/service.yaml)")
    demo.add_argument("--json", type=Path, metavar="FILE", help="write the summary for programs")
    demo.add_argument(
        "--html", type=Path, metavar="FILE", default=Path("upwell-demo.html"), help="the page with the chart"
    )
    demo.add_argument("--port", type=_port, default=0, help="the gateway's port (default: a free one)")
    demo.add_argument("--concurrency", type=_count, default=40, help="requests in flight in the burst (default: 40)")
    demo.add_argument("--seconds", type=_count, default=15, help="length of the burst (default: 15)")
    demo.add_argument("--ms", type=int, default=100, help="how long the app takes for a request (default: 100)")
    up = commands.add_parser("up", help="start the platform on this machine and stay until Ctrl-C")
    up.add_argument("files", nargs="*", metavar="FILE", help="what to apply (default: service.yaml, if there is one)")
    up.add_argument("--port", type=_port, default=8080, help="the gateway's port (default: 8080)")
    _add_namespace(up)


def _add_object_commands(commands: Commands) -> None:
    apply = commands.add_parser("apply", help="create or change what the files describe")
    apply.add_argument("files", nargs="+", metavar="FILE")
    get = commands.add_parser("get", help="list services, revisions, pods …")
    get.add_argument("kind", help="services, revisions, routes, pods, …")
    get.add_argument("name", nargs="?", default="")
    get.add_argument(
        "-o", "--output", choices=("json", "yaml"), default="", help="the whole objects instead of a table"
    )
    get.add_argument("-A", "--all-namespaces", action="store_true")
    logs = commands.add_parser("logs", help="what the pods of a service wrote")
    logs.add_argument("name", help="a service, a revision or a pod")
    logs.add_argument("-c", "--container", default="", help="default: the app's own; the sidecar is queue-proxy")
    logs.add_argument("-f", "--follow", action="store_true")
    logs.add_argument("--tail", type=_count, default=200, help="lines from the end (default: 200)")
    delete = commands.add_parser("delete", help="delete a service, or any object")
    delete.add_argument("words", nargs="+", metavar="[KIND] NAME", help="a kind other than service comes first")
    explain = commands.add_parser("explain", help="why a revision has the scale it has")
    explain.add_argument("name", help="a revision, or a service: then its revisions that are scaled")
    explain.add_argument("-o", "--output", choices=("json",), default="", help="everything that is known, for programs")
    top = commands.add_parser("top", help="load, scale and panic of each revision, live")
    top.add_argument("-A", "--all-namespaces", action="store_true")
    top.add_argument("--once", action="store_true", help="print the table once")
    top.add_argument("-o", "--output", choices=("json",), default="", help="print the figures once, for programs")
    for command in (explain, top):
        command.add_argument(
            "--system-namespace", default="knative-serving", help="where the autoscaler runs (default: knative-serving)"
        )
    for command in (apply, get, logs, delete, explain, top):
        _add_namespace(command)
        command.add_argument("--kubeconfig", help="default: that of the platform running in this folder")


def _add_lab_command(commands: Commands) -> None:
    add_simulate_options(
        commands.add_parser("simulate", help="what a scaling policy would have done with your traffic")
    )


def _add_namespace(command: argparse.ArgumentParser) -> None:
    command.add_argument("-n", "--namespace", default="default", help="default: default")


def _port(text: str) -> int:
    port = _count(text)
    if port > 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port; ports are 1 to 65535")
    return port


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1")
    return int(text)


async def _run(options: argparse.Namespace) -> int:
    # Each command imports its own: `upwell get` should not wait for what only the demo needs.
    if options.command == "demo":
        from upwell.cli.demo import DemoOptions, demo

        file = options.file or DemoOptions.default_file()
        return await demo(
            DemoOptions(
                file, options.json, options.html, options.port, options.concurrency, options.seconds, options.ms
            )
        )
    if options.command == "up":
        from upwell.cli.up import up

        await up(options.files, options.namespace, options.port)
        return 0
    return await _object_command(options)


async def _object_command(options: argparse.Namespace) -> int:
    from upwell.cli import show
    from upwell.cli.apply import apply_documents
    from upwell.cli.documents import load_files
    from upwell.cli.session import open_session

    if options.command == "delete" and len(options.words) > 2:
        raise CommandError(f"delete {' '.join(options.words)}: too many words", "upwell delete [KIND] NAME", code=2)
    documents = (
        load_files([Path(file) for file in options.files], options.namespace) if options.command == "apply" else []
    )
    async with open_session(options.kubeconfig) as session:
        if options.command == "apply":
            for line in await apply_documents(session.client, documents):
                print(line)
        elif options.command == "get":
            namespace = "" if options.all_namespaces else options.namespace
            await show.get(session, options.kind, options.name, namespace, options.output)
        elif options.command == "delete":
            await show.delete(session, options.words, options.namespace)
        elif options.command == "explain":
            from upwell.cli.explain import explain

            await explain(session, options.name, options.namespace, options.output, options.system_namespace)
        elif options.command == "top":
            from upwell.cli.top import top

            namespace = "" if options.all_namespaces else options.namespace
            await top(session, namespace, options.output, options.system_namespace, once=options.once)
        else:
            await show.logs(
                session, options.name, options.namespace, options.container, options.tail, follow=options.follow
            )
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = build_parser()[0].parse_args(arguments)
    try:
        if options.command == "simulate":
            # Beside the event loop, which would take an interrupt for a cancellation and wait.
            from upwell.cli.simulate import simulate

            return simulate(options)
        return asyncio.run(_run(options))
    except CommandError as error:
        print(f"Error: {error}", file=sys.stderr)
        if error.hint:
            print(f"Try: {error.hint}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
