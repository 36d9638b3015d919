"""The `upwell` command: its words, and what each of them runs."""

import argparse
import asyncio
import errno
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from upwell.cli.completion import SHELLS, Completes, complete_if_asked
from upwell.cli.errors import CommandError
from upwell.cli.group_words import GROUPS, add_cluster_options, add_groups
from upwell.cli.simulate_options import add_options as add_simulate_options

if TYPE_CHECKING:
    from upwell.cli.documents import Document
    from upwell.cli.session import Session

__all__ = ["build_parser", "joined", "main"]

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
    add_groups(commands)
    _add_object_commands(commands)
    _add_lab_command(commands)
    completion = commands.add_parser("completion", help="what a shell reads to complete these words")
    completion.add_argument("shell", choices=SHELLS, help='in ~/.bashrc: eval "$(upwell completion bash)"')
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
    up.add_argument(
        "--https-port", type=_port, metavar="PORT", help="serve HTTPS on this port too, with an authority of its own"
    )
    up.add_argument("-n", "--namespace", default="default", help="default: default")


def _add_object_commands(commands: Commands) -> None:
    apply = commands.add_parser("apply", help="create or change what the files describe")
    apply.add_argument("files", nargs="+", metavar="FILE")
    get = commands.add_parser("get", help="list services, revisions, pods …, or any other kind")
    get.add_argument("kind", help="services, revisions, routes, pods, …; KIND/NAME is KIND NAME")
    get.add_argument("name", nargs="?", default="").completer = Completes()  # type: ignore[attr-defined]
    get.add_argument("-o", "--output", choices=("json", "yaml", "name", "wide", "url"), default="", help="no table")
    get.add_argument("-A", "--all-namespaces", action="store_true")
    logs = commands.add_parser("logs", help="what the pods of a service wrote")
    logs_name = logs.add_argument("name", help="a service, a revision or a pod")
    logs.add_argument("-c", "--container", default="", help="default: the app's own; the sidecar is queue-proxy")
    logs.add_argument("-f", "--follow", action="store_true")
    logs.add_argument("--tail", type=_count, default=200, help="lines from the end (default: 200)")
    delete = commands.add_parser("delete", help="delete a service, or any object")
    words = delete.add_argument("words", nargs="+", metavar="[KIND] NAME", help="a kind other than service comes first")
    explain = commands.add_parser("explain", help="why a revision has the scale it has")
    explain_name = explain.add_argument("name", help="a revision, or a service: then its revisions that are scaled")
    explain.add_argument("-o", "--output", choices=("json",), default="", help="everything that is known, for programs")
    top = commands.add_parser("top", help="load, scale and panic of each revision, live")
    top.add_argument("-A", "--all-namespaces", action="store_true")
    top.add_argument("--once", action="store_true", help="print the table once")
    top.add_argument("-o", "--output", choices=("json",), default="", help="print the figures once, for programs")
    for command in (explain, top):
        command.add_argument(
            "--system-namespace", default="knative-serving", help="where the autoscaler runs (default: knative-serving)"
        )
    for name in (logs_name, words, explain_name):
        name.completer = Completes("services")  # type: ignore[attr-defined]
    for command in (apply, get, logs, delete, explain, top):
        add_cluster_options(command)


def _add_lab_command(commands: Commands) -> None:
    add_simulate_options(
        commands.add_parser("simulate", help="what a scaling policy would have done with your traffic")
    )


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

        await up(options.files, options.namespace, options.port, options.https_port)
        return 0
    if options.command == "completion":
        from upwell.cli.completion import shell_code

        print(shell_code(options.shell))
        return 0
    return await _object_command(options)


async def _object_command(options: argparse.Namespace) -> int:
    """What talks to an API server, or would if `--target` did not say that a file is wanted."""
    from upwell.cli.documents import load_files
    from upwell.cli.session import default_namespace, find_kubeconfig, open_session

    if getattr(options, "target", None) is not None:
        from upwell.cli.service import write_target

        options.namespace, options.local = options.namespace or "default", False
        write_target(options)
        return 0
    if options.command == "delete" and len(options.words) > 2:
        raise CommandError(f"delete {' '.join(options.words)}: too many words", "upwell delete [KIND] NAME", code=2)
    if not options.namespace:
        kubeconfig = find_kubeconfig(options.kubeconfig, options.context)
        options.namespace = default_namespace(kubeconfig, options.context)
    documents = (
        load_files([Path(file) for file in options.files], options.namespace) if options.command == "apply" else []
    )
    async with open_session(options.kubeconfig, options.context) as session:
        await _with_session(session, options, documents)
    return 0


async def _with_session(session: "Session", options: argparse.Namespace, documents: "list[Document]") -> None:
    from upwell.cli import show
    from upwell.cli.apply import apply_documents

    everywhere = "" if getattr(options, "all_namespaces", False) else options.namespace
    if options.command in GROUPS:
        from upwell.cli.groups import run_verb

        await run_verb(session, options)
    elif options.command == "apply":
        for line in await apply_documents(session.client, documents):
            print(line)
    elif options.command == "get":
        kind, names = _kind_and_names([options.kind, options.name] if options.name else [options.kind])
        await show.get(session, show.find_resource(kind), names, everywhere, options.output)
    elif options.command == "delete":
        kind, names = _kind_and_names(options.words, "ksvc")
        await show.delete(session, show.find_resource(kind), names, options.namespace)
    elif options.command == "explain":
        from upwell.cli.explain import explain

        await explain(session, options.name, options.namespace, options.output, options.system_namespace)
    elif options.command == "top":
        from upwell.cli.top import top

        await top(session, everywhere, options.output, options.system_namespace, once=options.once)
    else:
        await show.logs(
            session, options.name, options.namespace, options.container, options.tail, follow=options.follow
        )


def _kind_and_names(words: list[str], default: str = "") -> tuple[str, list[str]]:
    """`KIND NAME` and `KIND/NAME` are the same; a word alone is a kind, or a name where there is a `default` kind."""
    kind, slash, name = words[0].partition("/")
    if slash and (len(words) > 1 or not name):
        raise CommandError(f"{' '.join(words)}: one name, after the slash", "KIND/NAME, or KIND NAME", code=2)
    if slash:
        return kind, [name]
    return (default, words) if default and len(words) == 1 else (kind, words[1:])


_TAKES_ANY_WORD = ("--arg", "--cmd")


def joined(words: Sequence[str]) -> list[str]:
    """`--arg --verbose` as `--arg=--verbose`: the word after these flags is theirs, dashes or not."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] in _TAKES_ANY_WORD:
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _drop_output() -> None:
    """What is still buffered goes nowhere: the interpreter would try once more at its end, and fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = build_parser()[0]
    complete_if_asked(parser)
    options = parser.parse_args(joined(sys.argv[1:] if arguments is None else arguments))
    try:
        if options.command == "simulate":
            # Beside the event loop, which would take an interrupt for a cancellation and wait.
            from upwell.cli.simulate import simulate

            return simulate(options)
        code = asyncio.run(_run(options))
        sys.stdout.flush()  # a reader that went away is noticed here, not while the interpreter ends
        return code
    except CommandError as error:
        print(f"Error: {error}", file=sys.stderr)
        if error.hint:
            print(f"Try: {error.hint}", file=sys.stderr)
        return error.code
    except BrokenPipeError:
        # The reader has seen enough, as `head` has: no failure, and nothing is left that may be written.
        _drop_output()
        return 0
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _drop_output()
        print("Error: what to print could not be written: no space left on device", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
