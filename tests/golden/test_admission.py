"""What is accepted, with which defaults, and what is denied with which words, as a real cluster answered."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest

from tests.golden.conftest import load
from upwell.api.admission import Denied, admit
from upwell.api.cautions import WARNED, warnings_of
from upwell.api.config_features import parse_features
from upwell.api.crds import open_schema
from upwell.api.resources import BY_KIND, KNATIVE_RESOURCES, REVISION
from upwell.local.apiserver.errors import Cause
from upwell.local.apiserver.structural import Node

USER = "<user>"
RANDOM = "x7k2p"
VALIDATION = "denied the request: validation failed: "
CASES: list[dict[str, Any]] = load("admission.json")["cases"]
GROUPS = sorted({case["name"].split("/")[0] for case in CASES})
GENERATED = ("resourceVersion", "uid", "generation", "creationTimestamp", "namespace")
AUTHORS = ("serving.knative.dev/creator", "serving.knative.dev/lastModifier")


@pytest.mark.parametrize("group", GROUPS)
def test_admission_answers_as_recorded(group: str) -> None:
    differing = {}
    for case in CASES:
        if case["name"].split("/")[0] == group:
            problem = difference(case)
            if problem:
                differing[case["name"]] = problem

    assert not differing, "\n".join(f"{name}: {problem}" for name, problem in differing.items())


def test_no_definition_refuses_what_a_cluster_accepts() -> None:
    refused = {}
    for case in filter(accepted_for_real, CASES):
        try:
            stored = submit(case)
        except (Denied, Unsupported):
            continue  # told by the test above
        resource = BY_KIND[stored["apiVersion"], stored["kind"]]
        if resource in KNATIVE_RESOURCES:
            causes: list[Cause] = []
            node = Node(open_schema(resource))
            node.check(stored, "", causes)
            node.apply_rules(stored, None, "", causes)
            refused[case["name"]] = causes

    assert len(refused) > 250
    assert {name: causes for name, causes in refused.items() if causes} == {}


def test_warnings_are_about_the_recorded_fields() -> None:
    compared = 0
    for case in filter(accepted_for_real, CASES):
        try:
            stored = submit(case)
        except (Denied, Unsupported):
            continue  # told by the test above
        resource = BY_KIND[stored["apiVersion"], stored["kind"]]
        if resource in WARNED and not (resource is REVISION and case["op"] != "create"):
            features = parse_features(case.get("config", {}).get("config-features", {}))
            assert sorted(warnings_of(resource, stored, features)) == case["want"].get("warnings", []), case["name"]
            compared += 1

    assert compared > 250


def difference(case: Mapping[str, Any]) -> str:
    """How our answer differs from the recorded one; empty when it does not."""
    want = case["want"]
    try:
        answer = submit(case)
    except Denied as denied:
        if case.get("reference_defect"):
            return ""
        if accepted_for_real(case):
            return f"denied: {denied}"
        message = str(denied).replace(RANDOM, "<random>")
        # What is wrong with a config map is told in words of our own, which name the key, the value and what is right.
        loose = case["op"] == "replace_config" or VALIDATION not in want["message"]
        return "" if loose else message_difference(want, message)
    except Unsupported as error:
        return str(error)
    if not accepted_for_real(case):
        return f"accepted, want: {want['message']}"
    expected = want.get("object")
    return "" if expected is None or comparable(answer) == comparable(expected) else object_difference(answer, expected)


def accepted_for_real(case: Mapping[str, Any]) -> bool:
    """Whether it is accepted when it is no dry run, which would try a pod as well."""
    return bool(case.get("want_not_dry_run", case["want"])["accepted"])


class Unsupported(Exception):  # noqa: N818
    """A kind that admission does not know yet."""


def submit(case: Mapping[str, Any]) -> dict[str, Any]:
    settings = {**load("admission.json")["baseline_config"], **case.get("config", {})}
    obj = deepcopy(case.get("object") or case["old"])
    resource = BY_KIND.get((obj["apiVersion"], obj["kind"]))
    if resource is None:
        if case["want"].get("code") == 404:
            raise Denied("404")
        raise Unsupported(f"{obj['kind']} is not known")

    def config(name: str) -> Mapping[str, str]:
        found: Mapping[str, str] = settings.get(name, {})
        return found

    obj["metadata"].setdefault("namespace", "adm")
    if prefix := obj["metadata"].get("generateName"):
        obj["metadata"].setdefault("name", f"{prefix}{RANDOM}")  # as the API server does before it asks
    if case["op"] == "create":
        return admit(resource, obj, None, config, user=USER, strict=True)
    if case["op"] == "replace_config":
        return admit(resource, obj, None, config, user=USER)
    before = deepcopy(case["old"])
    before["metadata"].setdefault("namespace", "adm")
    old = admit(resource, before, None, config, user=USER)
    return admit(resource, merged(old, case["patch"]) if case["op"] == "patch" else obj, old, config, user=USER)


def merged(value: Any, patch: Any) -> Any:
    """`value` changed by a JSON merge patch."""
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for name, change in patch.items():
        if change is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), change)
    return result


def comparable(obj: Mapping[str, Any]) -> dict[str, Any]:
    """Without what the API server makes, and without the accounts' names."""
    result = deepcopy(dict(obj))
    result.pop("status", None)
    metadata = result["metadata"]
    for name in GENERATED:
        metadata.pop(name, None)
    if metadata.get("generateName") and str(metadata.get("name")).endswith((RANDOM, "<generated>")):
        del metadata["name"]
    annotations = metadata.pop("annotations", {})
    annotations = {key: value for key, value in annotations.items() if key not in AUTHORS or value != USER}
    if annotations:
        metadata["annotations"] = annotations
    return result


def object_difference(answer: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    ours, theirs = dict(flat(comparable(answer))), dict(flat(comparable(expected)))
    changed = {path for path in {*ours, *theirs} if ours.get(path, "nothing") != theirs.get(path, "nothing")}
    return "; ".join(f"{path} is {ours.get(path)!r}, want {theirs.get(path)!r}" for path in sorted(changed))


def flat(value: Any, path: str = "") -> Any:
    if isinstance(value, dict | list) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, element in items:
            yield from flat(element, f"{path}.{name}")
    else:
        yield path, value


def message_difference(want: Mapping[str, Any], message: str) -> str:
    expected = want["message"].split(VALIDATION, 1)[1]
    if want.get("message_loose"):
        first = expected.split("\n")[0]
        return "" if message.startswith(first.split(":")[0]) and first.split(": ")[-1] in message else repr(message)
    return "" if message == expected else f"message {message!r}, want {expected!r}"
