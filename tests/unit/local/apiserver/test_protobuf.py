"""Reading what kubectl writes in protobuf. The samples were made with a small encoder, below, from the public field
numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upwell.local.apiserver.protobuf import ProtobufError, decode_object


def varint(number: int) -> bytes:
    out = b""
    number &= (1 << 64) - 1
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def body(api_version: str, kind: str, raw: bytes) -> bytes:
    return b"k8s\x00" + field(1, field(1, api_version) + field(2, kind)) + field(2, raw) + field(3, "") + field(4, "")


def named(name: str) -> bytes:
    """ObjectMeta as Go writes it: with its empty texts and an empty time."""
    return (
        field(1, name) + field(2, "") + field(3, "default") + field(4, "") + field(5, "") + field(7, 0) + field(8, b"")
    )


def entry(key: str, value: str | bytes) -> bytes:
    return field(1, key) + field(2, value)


def test_a_config_map_is_read_without_its_empty_fields() -> None:
    raw = field(1, named("c") + field(11, entry("l", "v"))) + field(2, entry("a", "b")) + field(3, entry("x", b"\xff"))

    assert decode_object(body("v1", "ConfigMap", raw)) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "namespace": "default", "labels": {"l": "v"}},
        "data": {"a": "b"},
        "binaryData": {"x": "/w=="},
    }


def test_a_deployment_keeps_a_zero_that_was_said() -> None:
    container = field(1, "app") + field(2, "a:1") + field(6, field(3, 80) + field(4, "")) + field(3, "run")
    template = field(1, named("")) + field(2, field(2, container))
    rolling = field(2, field(1, field(1, 1) + field(2, 0) + field(3, "25%")) + field(2, field(1, 0) + field(2, 1)))
    spec = field(1, 0) + field(2, field(1, entry("app", "x"))) + field(3, template) + field(4, rolling) + field(5, 0)

    read = decode_object(body("apps/v1", "Deployment", field(1, named("d")) + field(2, spec)))

    assert read["spec"] == {
        "replicas": 0,
        "selector": {"matchLabels": {"app": "x"}},
        "template": {
            "metadata": {"namespace": "default"},
            "spec": {
                "containers": [{"name": "app", "image": "a:1", "ports": [{"containerPort": 80}], "command": ["run"]}]
            },
        },
        "strategy": {"rollingUpdate": {"maxUnavailable": "25%", "maxSurge": 1}},
    }


def test_numbers_may_be_negative_and_times_are_written_out() -> None:
    metadata = named("n") + field(10, -5) + field(9, field(1, 946_684_800))

    read = decode_object(body("v1", "Namespace", field(1, metadata)))

    assert read["metadata"]["deletionGracePeriodSeconds"] == -5
    assert read["metadata"]["deletionTimestamp"] == "2000-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "does not start"),
        (b"{}", "does not start"),
        (body("batch/v1", "Job", b""), "batch/v1 Job is not among the kinds"),
        (body("v1", "ConfigMap", field(99, "x")), "field number 99 of the object is not known"),
        (body("v1", "ConfigMap", field(1, field(77, 1))), "field number 77 of metadata is not known"),
        (body("v1", "ConfigMap", field(1, 5)), "metadata is a number where bytes belong"),
        (body("v1", "ConfigMap", field(1, field(1, b"\xff"))), "metadata.name is not text"),
        (body("v1", "ConfigMap", b"\x0a\x7f"), "ends in the middle of a field"),
        (body("v1", "ConfigMap", b"\xff"), "ends in the middle of a number"),
        (body("v1", "ConfigMap", b"\x0b"), "wire type 3"),
        (body("v1", "ConfigMap", field(4, b"x")), "immutable is not a number"),
    ],
)
def test_what_cannot_be_read_whole_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(ProtobufError, match=told):
        decode_object(data)


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_be_read_or_refused(data: bytes) -> None:
    try:
        decode_object(body("apps/v1", "Deployment", data))
    except ProtobufError:
        pass
