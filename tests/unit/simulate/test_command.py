"""`upwell simulate` as a user types it."""

import csv
import json
import re
from pathlib import Path

import pytest

from upwell.cli.main import main

SERVICE = """apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: {name}
spec:
  template:
    metadata:
      annotations: {{ {annotations} }}
    spec:
      containerConcurrency: {concurrency}
      containers:
        - image: example.local/hello
"""


def service(tmp_path: Path, name: str = "hello", annotations: str = "", concurrency: int = 0) -> str:
    path = tmp_path / f"{name}.yaml"
    path.write_text(SERVICE.format(name=name, annotations=annotations, concurrency=concurrency))
    return str(path)


def trace(tmp_path: Path, text: str = "arrival_s,duration_s\n1,0.5\n2,0.5\n") -> str:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    return str(path)


def test_a_trace_becomes_json_csv_a_page_and_a_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {kind: tmp_path / f"out.{kind}" for kind in ("json", "csv", "html")}
    words = [word for kind, file in files.items() for word in (f"--{kind}", str(file))]

    assert main(["simulate", service(tmp_path), "--trace", trace(tmp_path), "--cold-start", "2s", *words]) == 0

    found = json.loads(files["json"].read_text())
    assert (found["requests"], found["answered"], found["cold_starts"]) == (2, 2, 2)
    assert found["latency_s"].keys() >= {"p50", "p95", "p99"}
    assert found["latency_s"]["max"] == 2.5
    assert found["pods"][:2] == [[0.0, 0], [3.0, 1]]
    assert found["pod_seconds"] > 60
    with files["csv"].open() as file:
        rows = list(csv.DictReader(file))
    assert [row["t"] for row in rows[:3]] == ["0", "1", "2"]
    assert sum(float(row["arrivals"]) for row in rows) == 2
    assert re.search(r"cold starts\s+2", capsys.readouterr().out)


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "out.html"
    named = tmp_path / "<img onerror=1>.csv"
    named.write_text(Path(trace(tmp_path)).read_text())

    main(["simulate", service(tmp_path), "--trace", str(named), "--html", str(page)])

    text = page.read_text()
    assert text.count("<svg") == 4
    assert not re.search(r"""(src|href)=|https?://|@import|url\(""", text)
    assert "<img" not in text


def test_policies_stand_side_by_side_on_the_same_traffic(tmp_path: Path) -> None:
    out, page = tmp_path / "out.json", tmp_path / "out.html"
    always = service(tmp_path, "always", "autoscaling.knative.dev/min-scale: '1'")

    words = ["--generate", "poisson:rate=5,for=2m", "--json", str(out), "--html", str(page)]
    assert main(["simulate", "--compare", service(tmp_path), always, *words]) == 0

    zero, one = json.loads(out.read_text())["policies"]
    assert (zero["policy"], one["policy"]) == ("hello", "always")
    assert zero["requests"] == one["requests"]
    assert zero["cold_starts"] > one["cold_starts"] == 0
    assert one["settings"] == {"min-scale": "1"}


def test_a_sweep_prints_the_frontier(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, page = tmp_path / "out.json", tmp_path / "out.html"
    words = ["--sweep", "target=2..8/3,window=6s..24s/2", "--generate", "on-off:rate=20,on=20s,off=20s,for=3m"]

    assert main(["simulate", service(tmp_path), *words, "--json", str(out), "--html", str(page)]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    assert lines[0].split()[:3] == ["target", "window", "pod-seconds"]
    trials = json.loads(out.read_text())["trials"]
    best = [(trial["pod_seconds"], trial["latency_s"]["p99"]) for trial in trials if trial["frontier"]]
    for trial in trials:
        assert any(cost <= trial["pod_seconds"] and late <= trial["latency_s"]["p99"] for cost, late in best)
    assert "<circle" in page.read_text()


def test_counts_of_many_functions_are_added_up_and_one_is_taken_by_name(tmp_path: Path) -> None:
    counts = "HashOwner,HashApp,HashFunction,Trigger,1,2,3\no,a,f1,http,0,2,1\no,a,f2,timer,1,0,30\n"
    out = tmp_path / "out.json"

    main(["simulate", service(tmp_path), "--trace", trace(tmp_path, counts), "--json", str(out)])
    together = json.loads(out.read_text())
    main(["simulate", service(tmp_path), "--trace", trace(tmp_path, counts), "--function", "f2", "--json", str(out)])
    alone = json.loads(out.read_text())

    assert (together["model"], together["requests"]) == ("minutes", 34)
    assert [revision["function"] for revision in together["revisions"]] == ["f1", "f2"]
    assert (alone["model"], alone["requests"]) == ("requests", 31)


def test_the_clusters_settings_count(tmp_path: Path) -> None:
    config, out = tmp_path / "config.yaml", tmp_path / "out.json"
    config.write_text("kind: ConfigMap\ndata:\n  stable-window: 6s\n  enable-scale-to-zero: 'true'\n")
    words = ["simulate", service(tmp_path), "--trace", trace(tmp_path), "--json", str(out)]

    main(words)
    plain = json.loads(out.read_text())
    main([*words, "--config", str(config)])
    short = json.loads(out.read_text())
    main([*words, "--config", str(config), "--set", "enable-scale-to-zero=false"])
    kept = json.loads(out.read_text())

    assert plain["seconds"] - short["seconds"] == pytest.approx(54, abs=2)
    assert kept["pods"][-1][1] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--trace", "missing.csv"], "missing.csv: no such file"),
        (["--trace", "t.csv", "--generate", "steady:rate=1"], "give either --trace or --generate"),
        ([], "give either --trace or --generate"),
        (["--generate", "steady:rate=x"], '"steady:rate=x": rate: "x" is not a number'),
        (["--generate", "steady:rate=1", "--cold-start=-1s"], '--cold-start: "-1s" is out of range'),
        (["--generate", "steady:rate=1", "--set", "stable-window=1s"], "stable-window = 1s, must be in"),
        (["--generate", "steady:rate=1", "--set", "stable-windw=1s"], "config-autoscaler has no key stable-windw"),
        (["--generate", "steady:rate=1", "--json", "/no/such/folder/x"], "there is no folder /no/such/folder"),
        (["--generate", "steady:rate=1", "--sweep", "speed=1..2"], "--sweep: there is no setting speed"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(["simulate", service(tmp_path), *words]) in (1, 2)

    error = capsys.readouterr().err.splitlines()
    assert error[0].startswith("Error: ")
    assert said in error[0]
    assert len(error) <= 2


def test_a_policy_that_the_cluster_would_refuse_is_refused_in_its_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = service(tmp_path, annotations="autoscaling.knative.dev/window: 5s")

    assert main(["simulate", file, "--generate", "steady:rate=1"]) == 1

    assert f"{file}:1: expected 6s <= 5s <= 1h0m0s: spec.template.metadata" in capsys.readouterr().err


def test_a_config_that_is_no_yaml_is_refused_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("data:\n  a: [\n")

    assert main(["simulate", service(tmp_path), "--generate", "steady:rate=1", "--config", str(config)]) == 1
    assert capsys.readouterr().err.startswith(f"Error: {config}:3: not YAML")


def test_a_class_that_does_not_scale_on_requests_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = service(tmp_path, annotations="autoscaling.knative.dev/class: hpa.autoscaling.knative.dev")

    assert main(["simulate", file, "--generate", "steady:rate=1"]) == 1
    assert 'its class is "hpa.autoscaling.knative.dev"' in capsys.readouterr().err
