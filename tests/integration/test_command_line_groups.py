"""`upwell service`, `revision`, `route` and completion, as a developer types them against a running platform."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.integration.running import UPWELL, Up, copy_example, running
from tests.waiting import eventually_here

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks into /proc, which only Linux has")

APP = ("--image", "example.local/hello", "--cmd", "python3", "--cmd", "app.py", "--scale-window", "6s")


def test_a_service_is_made_split_tagged_rolled_back_exported_and_taken_away(tmp_path: Path) -> None:
    folder = copy_example("hello", tmp_path / "hello")
    (folder / "service.yaml").rename(folder / "kept.yaml")
    with running(folder) as up:
        made = up.upwell("service", "create", "hi", *APP)
        assert made.stdout == f"service hi created, latest revision hi-00001\nhttp://hi.default.localhost:{up.port}\n"
        assert "Ready to serve." in made.stderr
        assert "exists" in up.upwell("service", "create", "hi", *APP, check=False).stderr

        split = ("--tag", "hi-00001=old", "--traffic", "old=100,@latest=0", "-e", "GREETING=Hei")
        assert "latest revision hi-00002" in up.upwell("service", "update", "hi", *split).stdout
        with up.client("hi") as client:
            assert {client.get("/").text for _ in range(10)} == {"Hello from hi-00001!\n"}
        with up.client("old-hi") as client:
            assert client.get("/").text == "Hello from hi-00001!\n"
        _looks_right(up)
        misspelt = up.upwell("service", "update", "hi", "--traffic", "odl=100", check=False)
        assert (misspelt.returncode, misspelt.stderr.splitlines()[0]) == (
            1,
            "Error: update service hi: there is no revision or tag odl",
        )
        _refuses_unknown_fields(up, folder)
        _says_nothing_when_the_reader_goes(up)

        up.upwell("service", "update", "hi", "--traffic", "@latest=100")
        with up.client("hi") as client:
            eventually_here(lambda: "hi-00002" in client.get("/").text)
        assert (
            up.upwell("service", "update", "hi", "-e", "GREETING=Hei", "--no-wait").stdout == "service hi unchanged\n"
        )

        exported = up.upwell("service", "export", "hi", "--with-revisions", "-o", "yaml").stdout
        names = [item["spec"]["template"]["metadata"]["name"] for item in yaml.safe_load(exported)["items"]]
        assert names == ["hi-00001", "hi-00002"]
        _comes_back(up, exported)
        _completes(up)

        assert up.upwell("domain", "create", "hi.example.com", "--ref", "hi").stdout.startswith("domain hi.example.com")
        with up.client("hi") as client:
            eventually_here(lambda: "hi-00002" in client.get("/", headers={"Host": "hi.example.com"}).text)
        up.upwell("domain", "delete", "hi.example.com")

        up.upwell("service", "update", "hi", "--untag", "old")
        eventually_here(lambda: "hi-00001" in up.upwell("revision", "delete", "--prune", "hi").stdout)
        assert up.upwell("delete", "ksvc/hi").stdout == "service hi deleted\n"
        eventually_here(lambda: up.upwell("revision", "list", "-o", "name").stdout.strip() == "")


def _comes_back(up: Up, exported: str) -> None:
    """Under another name, since the old one is still needed: every revision is made again, in order."""
    (up.folder / "exported.yaml").write_text(
        exported.replace("hi-0000", "again-0000").replace("name: hi\n", "name: again\n")
    )
    applied = up.upwell("apply", "exported.yaml").stdout.splitlines()
    assert applied == ["service again created", "service again configured"]
    names = {f"revision.serving.knative.dev/again-0000{n}" for n in (1, 2)}
    eventually_here(lambda: names == set(up.upwell("revision", "list", "-s", "again", "-o", "name").stdout.split()))
    up.upwell("service", "delete", "again")


def _refuses_unknown_fields(up: Up, folder: Path) -> None:
    """As kubectl does: what a hand misspelt is not dropped in silence."""
    (folder / "typo.yaml").write_text((folder / "kept.yaml").read_text().replace("command:", "comand:"))
    refused = up.upwell("apply", "typo.yaml", check=False)
    assert refused.returncode == 1
    assert "comand" in refused.stderr


def _says_nothing_when_the_reader_goes(up: Up) -> None:
    """`upwell service list -o json | head -1` is no failure; the pipe has no reader from the first byte on."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        words = [str(UPWELL), "service", "list", "-o", "json"]
        ended = subprocess.run(words, cwd=up.folder, stdout=writing, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_service_that_cannot_start_fails_the_command_with_its_reason(tmp_path: Path) -> None:
    folder = copy_example("hello", tmp_path / "hello")
    (folder / "service.yaml").rename(folder / "kept.yaml")
    with running(folder) as up:
        words = ("service", "create", "broken", "--image", "example.local/broken", "--cmd", "no-such-command")
        failed = up.upwell(*words, check=False)
        assert failed.returncode == 1
        assert "Error: service broken: not ready: RevisionFailed" in failed.stderr
        assert "no-such-command" in failed.stderr

        denied = up.upwell("service", "create", "b", *APP, "--scale", "5..1", check=False)
        assert denied.returncode == 1
        assert "max-scale=1 is less than min-scale=5" in denied.stderr

        fixed = up.upwell("service", "create", "broken", *APP, "--force")
        assert fixed.stdout.startswith("service broken replaced, latest revision broken-00002\n")
        again = up.upwell("service", "apply", "broken", *APP)
        assert again.stdout.startswith("service broken unchanged")


def _looks_right(up: Up) -> None:
    described = up.upwell("service", "describe", "hi").stdout
    assert "100%  hi-00001 #old" in described
    assert "++  Ready" in described
    rows = {line.split()[0]: line.split() for line in up.upwell("revision", "list", "-s", "hi").stdout.splitlines()}
    assert rows["hi-00001"][1:4] == ["hi", "100%", "old"]
    assert up.upwell("route", "list", "-o", "name").stdout == "route.serving.knative.dev/hi\n"
    assert up.upwell("get", "ksvc/hi", "-o", "name").stdout == "service.serving.knative.dev/hi\n"
    assert up.upwell("service", "describe", "hi", "-o", "url").stdout == f"http://hi.default.localhost:{up.port}\n"


def _completes(up: Up) -> None:
    """The names of objects come from the API server, as a shell asks at TAB."""
    line, answer = "upwell revision describe hi", up.folder / "answer"
    asked = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": str(answer), "_ARGCOMPLETE_IFS": "\n"}
    env = {**os.environ, **asked, "COMP_LINE": line, "COMP_POINT": str(len(line))}

    def press_tab() -> set[str]:
        subprocess.run([UPWELL], cwd=up.folder, env=env, check=True, timeout=30)
        return {word.strip() for word in answer.read_text().split("\n")}

    # A server that takes longer than a second completes nothing, and is asked again at the next TAB.
    eventually_here(lambda: press_tab() == {"hi-00001", "hi-00002"})
