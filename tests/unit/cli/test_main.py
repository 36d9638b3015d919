"""The words of the command line, and how it fails."""

import subprocess
import sys
from pathlib import Path

import pytest

from upwell.cli.main import build_parser, main
from upwell.cli.reference import verbs_of
from upwell.cli.show import find_resource

KUBECONFIG = (
    "{apiVersion: v1, kind: Config, current-context: a, clusters: [{name: a, cluster: {server: 'http://127.0.0.1:9'}}],"
    " users: [{name: a, user: {}}], contexts: [{name: a, context: {cluster: a, user: a}}]}"
)
REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"


def test_every_command_and_option_is_in_the_reference_page() -> None:
    page = REFERENCE.read_text()
    _, commands = build_parser()
    parsers = {f"## upwell {name}": command for name, command in commands.choices.items()}
    for title, command in list(parsers.items()):
        parsers |= {f"#{title} {verb}": parser for verb, parser in verbs_of(command).items()}
    for title, command in parsers.items():
        section = page.partition(f"\n{title}\n")[2].partition("\n#")[0]
        assert section, f"run `make docs`: {title} is missing"
        for option in command._option_string_actions:
            assert option in section, f"run `make docs`: {option} of {title} is missing"


@pytest.mark.parametrize(
    "words",
    [[], ["nothing"], ["up", "--port", "0"], ["up", "--port", "70000"], ["get"], ["demo", "--concurrency", "-1"]],
)
def test_words_that_are_off_end_with_two(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)

    assert caught.value.code == 2
    assert "usage: upwell" in capsys.readouterr().err


def test_without_a_platform_the_user_is_told_how_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KUBECONFIG", raising=False)

    code = main(["get", "services"])

    assert code == 1
    assert capsys.readouterr().err == (
        "Error: no platform is running in this folder\nTry: start one with `upwell up`, or give --kubeconfig\n"
    )


@pytest.mark.parametrize("words", [["get", "ksvc/"], ["get", "ksvc/hi", "hi"], ["delete", "ksvc/"]])
def test_a_kind_with_a_slash_wants_one_name(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG)

    code = main([*words, "--kubeconfig", str(kubeconfig)])

    assert code == 2
    assert "one name, after the slash" in capsys.readouterr().err


def test_output_that_finds_no_space_is_one_line(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "upwell.cli.main", "completion", "bash"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd=tmp_path,
        )

    assert (ended.returncode, ended.stderr) == (
        1,
        "Error: what to print could not be written: no space left on device\n",
    )


def test_an_unreachable_platform_is_one_line_and_a_hint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG)

    code = main(["get", "services", "--kubeconfig", str(kubeconfig)])

    error = capsys.readouterr().err
    assert code == 1
    assert error.startswith("Error: get services: the API server does not answer")
    assert "Try: is `upwell up` running" in error


@pytest.mark.parametrize(
    ("word", "kind", "group"),
    [
        ("services", "Service", "serving.knative.dev"),
        ("ksvc", "Service", "serving.knative.dev"),
        ("svc", "Service", ""),
        ("Revision", "Revision", "serving.knative.dev"),
        ("po", "Pod", ""),
    ],
)
def test_kinds_are_found_by_plural_kind_and_short_name_and_knatives_come_first(
    word: str, kind: str, group: str
) -> None:
    resource = find_resource(word)

    assert (resource.kind, resource.group) == (kind, group)
