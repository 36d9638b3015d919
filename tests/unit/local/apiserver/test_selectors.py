"""What label and field selectors select."""

import pytest

from upwell.api.resources import EVENT, POD, SERVICE
from upwell.local.apiserver.errors import StatusError
from upwell.local.apiserver.selectors import Selector, fields_of, parse_fields, parse_labels

LABELS = {"app": "web", "tier": "front", "size": "10", "serving.knative.dev/revision": "web-00001"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app = web", True),
        ("app=db", False),
        ("app!=db", True),
        ("missing!=x", True),
        ("app in (web,db)", True),
        ("app in (db, cache)", False),
        ("app notin (db)", True),
        ("missing notin (db)", True),
        ("missing in (db)", False),
        ("app", True),
        ("missing", False),
        ("!missing", True),
        ("!app", False),
        ("size>9", True),
        ("size<9", False),
        ("app>1", False),
        ("app=", False),
        ("serving.knative.dev/revision=web-00001", True),
        ("app=web,tier in (front,back),!missing", True),
        ("app=web,tier in (front,back),missing", False),
    ],
)
def test_a_label_selector_selects_as_kubernetes_does(text: str, matches: bool) -> None:
    assert Selector(labels=parse_labels(text)).matches(LABELS, {}) is matches


@pytest.mark.parametrize("text", ["a b", "=x", "a=b=c", "in (a)", "a in b", "!", "a/b/c=d", "a=(b"])
def test_a_label_selector_that_does_not_parse_is_refused(text: str) -> None:
    with pytest.raises(StatusError) as refused:
        parse_labels(text)

    assert refused.value.code == 400


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("metadata.name=p", True),
        ("metadata.name!=p", False),
        ("metadata.namespace=default,spec.nodeName=n1", True),
        ("status.phase=Running", False),
        ("status.phase!=Running", True),
        ("status.podIP=", True),
        ("spec.hostNetwork=true", True),
    ],
)
def test_a_field_selector_looks_at_the_fields_of_the_kind(text: str, matches: bool) -> None:
    obj = {
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {"nodeName": "n1", "hostNetwork": True},
        "status": {"phase": "Pending"},
    }

    assert Selector(fields=parse_fields(POD, text)).matches({}, fields_of(POD, obj)) is matches


def test_events_are_selected_by_what_they_are_about() -> None:
    event = {
        "metadata": {"name": "e", "namespace": "default"},
        "involvedObject": {"kind": "Service", "name": "hello", "uid": "u"},
        "type": "Warning",
    }
    text = "involvedObject.kind=Service,involvedObject.name=hello,involvedObject.uid=u,type=Warning"

    assert Selector(fields=parse_fields(EVENT, text)).matches({}, fields_of(EVENT, event))


@pytest.mark.parametrize("text", ["spec.foo=x", "metadata.name", "metadata.name>x"])
def test_a_field_that_cannot_be_selected_by_is_refused(text: str) -> None:
    with pytest.raises(StatusError) as refused:
        parse_fields(SERVICE, text)

    assert refused.value.code == 400


def test_a_selector_knows_when_it_allows_one_name_only() -> None:
    assert Selector(fields=parse_fields(POD, "metadata.name=p")).field_value("metadata.name") == "p"
    assert Selector(fields=parse_fields(POD, "metadata.name!=p")).field_value("metadata.name") is None
