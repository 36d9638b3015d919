"""The form of profiles, read back with protobuf by a description of its own."""

import gzip
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from upwell.telemetry.pprof import Stack, encode_profile, folded

OUTER, INNER, OTHER = ("outer", "/a.py", 3), ("Type.inner", "/b.py", 300), ("outer", "/a.py", 9)
SAMPLES: dict[Stack, tuple[int, int]] = {(INNER, OUTER): (7, 70_000_000), (OTHER,): (1, 0)}
KINDS = (("samples", "count"), ("cpu", "nanoseconds"))
FIELDS: dict[str, list[tuple[int, str, str, bool]]] = {
    "Profile": [
        (1, "sample_type", "ValueType", True),
        (2, "sample", "Sample", True),
        (4, "location", "Location", True),
        (5, "function", "Function", True),
        (6, "string_table", "string", True),
        (9, "time_nanos", "int64", False),
        (10, "duration_nanos", "int64", False),
        (11, "period_type", "ValueType", False),
        (12, "period", "int64", False),
    ],
    "ValueType": [(1, "type", "int64", False), (2, "unit", "int64", False)],
    "Sample": [(1, "location_id", "uint64", True), (2, "value", "int64", True)],
    "Location": [(1, "id", "uint64", False), (4, "line", "Line", True)],
    "Line": [(1, "function_id", "uint64", False), (2, "line", "int64", False)],
    "Function": [
        (1, "id", "uint64", False),
        (2, "name", "int64", False),
        (3, "system_name", "int64", False),
        (4, "filename", "int64", False),
    ],
}
"""Of profile.proto, what is written."""
SCALARS = {"string": 9, "int64": 3, "uint64": 4}


def profile_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="profile.proto", package="p", syntax="proto3")
    for name, fields in FIELDS.items():
        message = file.message_type.add(name=name)
        for number, field, kind, repeated in fields:
            made = message.field.add(name=field, number=number, label=3 if repeated else 1)
            made.type = SCALARS.get(kind, 11)
            if kind not in SCALARS:
                made.type_name = f".p.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("p.Profile"))


def decode(data: bytes) -> Any:
    return profile_class().FromString(gzip.decompress(data))


def encode() -> Any:
    period = ("cpu", "nanoseconds", 10_000_000)
    return decode(encode_profile(SAMPLES, KINDS, period=period, started=1_700_000_000_000_000_000, duration=5))


def test_stacks_and_their_values_can_be_read_back() -> None:
    profile = encode()
    texts = profile.string_table
    functions = {found.id: (texts[found.name], texts[found.filename]) for found in profile.function}
    places = {found.id: (*functions[found.line[0].function_id], found.line[0].line) for found in profile.location}

    assert texts[0] == ""
    assert {tuple(places[at] for at in found.location_id): tuple(found.value) for found in profile.sample} == SAMPLES


def test_what_is_measured_and_when_is_told() -> None:
    profile = encode()
    texts = profile.string_table

    assert [(texts[kind.type], texts[kind.unit]) for kind in profile.sample_type] == list(KINDS)
    assert (texts[profile.period_type.type], profile.period) == ("cpu", 10_000_000)
    assert (profile.time_nanos, profile.duration_nanos) == (1_700_000_000_000_000_000, 5)


def test_a_function_stands_once_however_many_of_its_lines_are_seen() -> None:
    assert len(encode().function) == 2
    assert len(encode().location) == 3


def test_a_profile_without_samples_is_one_too() -> None:
    empty = decode(encode_profile({}, KINDS, period=("cpu", "nanoseconds", 1), started=1, duration=1))

    assert not empty.sample


def test_folded_text_has_the_outermost_function_first_and_the_most_frequent_stack_on_top() -> None:
    assert folded(SAMPLES).decode().splitlines() == [
        "outer (/a.py:3);Type.inner (/b.py:300) 7",
        "outer (/a.py:9) 1",
    ]
