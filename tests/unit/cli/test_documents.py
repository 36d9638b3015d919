"""What `upwell apply` says of a file before the API server sees it."""

from pathlib import Path

import pytest

from upwell.cli.documents import load_files
from upwell.cli.errors import CommandError

SERVICE = """\
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: hello
spec:
  template:
    spec:
      containers:
        - image: example.local/hello
          command: [python3, app.py]
"""


def load(tmp_path: Path, text: str) -> CommandError:
    path = tmp_path / "service.yaml"
    path.write_text(text)
    with pytest.raises(CommandError) as caught:
        load_files([path])
    assert str(path) in str(caught.value), "the file is named"
    return caught.value


def test_a_service_runs_in_the_folder_of_its_file_unless_it_says_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "service.yaml"
    path.write_text(SERVICE + "---\n" + SERVICE + "          workingDir: /elsewhere\n")

    plain, explicit = load_files([path])

    assert plain.obj["spec"]["template"]["spec"]["containers"][0]["workingDir"] == str(tmp_path)
    assert explicit.obj["spec"]["template"]["spec"]["containers"][0]["workingDir"] == "/elsewhere"
    assert plain.obj["metadata"]["namespace"] == "default"
    assert explicit.where.endswith("service.yaml:12")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"gone\.yaml: no such file"):
        load_files([tmp_path / "gone.yaml"])


def test_a_folder_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(CommandError) as caught:
        load_files([tmp_path])

    assert str(caught.value) == f"{tmp_path}: cannot be read: Is a directory"


def test_broken_yaml_is_said_with_line_and_column(tmp_path: Path) -> None:
    error = load(tmp_path, "kind: Service\n  name: [\n")

    assert ":2:" in str(error)
    assert "not YAML" in str(error)


def test_each_object_of_a_list_is_one_to_apply(tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    listed = "\n".join("    " + line for line in SERVICE.splitlines()).replace("    ", "  - ", 1)
    path.write_text(f"apiVersion: v1\nkind: List\nitems:\n{listed}\n  - {{apiVersion: v1, kind: Foo}}\n")

    with pytest.raises(CommandError, match=r"all\.yaml:1: items\[1\]: kind: unknown: v1 Foo"):
        load_files([path])

    path.write_text(f"apiVersion: v1\nkind: List\nitems:\n{listed}\n")
    assert [document.obj["metadata"]["name"] for document in load_files([path])] == ["hello"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("apiVersion: v1\nkind: List\nitems: 3\n", ["items", "is not a list"]),
        ("a: " + "[" * 3000, ["nested too deeply"]),
        ("just text\n", ["is not an object"]),
        ("kind: Service\n", ["apiVersion", "missing"]),
        ("apiVersion: serving.knative.dev/v1\nkind: 7\n", ["kind", "7 is not text"]),
        ("apiVersion: serving.knative.dev/v9\nkind: Service\n", ["unknown", "serving.knative.dev/v9 Service"]),
        ("apiVersion: serving.knative.dev/v1\nkind: Service\n", ["metadata", "missing"]),
        (
            "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: 3}\n",
            ["metadata.name", "3 is not text"],
        ),
    ],
)
def test_what_every_object_needs_is_said_by_field_value_and_fix(tmp_path: Path, text: str, words: list[str]) -> None:
    error = load(tmp_path, text)

    assert all(word in str(error) for word in words), str(error)
    assert error.hint


def test_an_unknown_kind_of_a_known_name_says_which_there_are(tmp_path: Path) -> None:
    error = load(tmp_path, "apiVersion: v2\nkind: Service\nmetadata: {name: a}\n")

    assert "serving.knative.dev/v1 Service" in error.hint


def test_wrong_types_inside_the_spec_are_left_for_the_server(tmp_path: Path) -> None:
    path = tmp_path / "service.yaml"
    path.write_text("apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}\nspec: [1]\n")

    assert load_files([path])[0].obj["spec"] == [1]
