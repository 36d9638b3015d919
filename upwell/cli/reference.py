"""The reference page of the command line, made from the commands' own help: `python -m upwell.cli.reference`."""

import argparse
import os

from upwell.cli.main import build_parser

__all__ = ["reference", "verbs_of"]


def reference() -> str:
    """The page as Markdown."""
    os.environ["COLUMNS"] = "100"  # so that it does not depend on who makes it
    parser, commands = build_parser()
    parts = [
        "# Command line",
        "<!-- Made by `make docs` from the commands' own help; change it there. -->",
        _help(parser),
    ]
    for name, command in commands.choices.items():
        parts += [f"## upwell {name}", _help(command)]
        for verb, its_command in verbs_of(command).items():
            parts += [f"### upwell {name} {verb}", _help(its_command)]
    return "\n\n".join(parts) + "\n"


def verbs_of(command: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands below a command, such as `create` below `service`."""
    actions = (action for action in command._actions if isinstance(action, argparse._SubParsersAction))
    return {verb: parser for action in actions for verb, parser in action.choices.items()}


def _help(parser: argparse.ArgumentParser) -> str:
    return f"```text\n{parser.format_help().strip()}\n```"


if __name__ == "__main__":
    print(reference(), end="")
