"""CEL's types for a structural schema, so that rules are checked as a cluster checks them when it takes a definition.

Objects become messages of protobuf, which the checker of cel-expr-python (Google's own) knows the fields of.
"""

from collections.abc import Mapping
from typing import Any, Final

from cel_expr_python import cel
from google.protobuf import descriptor_pool, struct_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

__all__ = ["checked_type"]

Schema = Mapping[str, Any]
_PLAIN: Final = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "integer": FieldDescriptorProto.TYPE_INT64,
    "number": FieldDescriptorProto.TYPE_DOUBLE,
    "boolean": FieldDescriptorProto.TYPE_BOOL,
}
_VALUE: Final = ".google.protobuf.Value"
_PLAIN_CEL: Final = {"string": cel.Type.STRING, "integer": cel.Type.INT, "boolean": cel.Type.BOOL}


class _Messages:
    def __init__(self, name: str) -> None:
        self.file = FileDescriptorProto(name=f"{name}.proto", package=name, syntax="proto3")
        self.file.dependency.append(struct_pb2.DESCRIPTOR.name)
        self._count = 0

    def add(self, schema: Schema) -> str:
        """A message for an object; its full name."""
        self._count += 1
        message = self.file.message_type.add(name=f"M{self._count}")
        name = f".{self.file.package}.{message.name}"
        for number, (field, content) in enumerate(schema.get("properties", {}).items(), start=1):
            self._field(message, field, number, content)
        return name

    def _field(self, message: DescriptorProto, name: str, number: int, schema: Schema) -> None:
        field = message.field.add(name=name, number=number, json_name=name, label=FieldDescriptorProto.LABEL_OPTIONAL)
        if schema.get("type") == "array":
            field.label = FieldDescriptorProto.LABEL_REPEATED
            schema = schema["items"]
        elif "additionalProperties" in schema:
            field.label = FieldDescriptorProto.LABEL_REPEATED
            field.type = FieldDescriptorProto.TYPE_MESSAGE
            field.type_name = self._entry(message, f"{name[0].upper()}{name[1:]}Entry", schema["additionalProperties"])
            return
        self._set_type(field, schema)
        if field.label == FieldDescriptorProto.LABEL_OPTIONAL and field.type != FieldDescriptorProto.TYPE_MESSAGE:
            field.proto3_optional = True
            field.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{name}")

    def _set_type(self, field: FieldDescriptorProto, schema: Schema) -> None:
        if schema.get("type") in _PLAIN:
            field.type = _PLAIN[schema["type"]]
            return
        field.type = FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = self.add(schema) if schema.get("type") == "object" else _VALUE

    def _entry(self, message: DescriptorProto, name: str, values: Schema) -> str:
        entry = message.nested_type.add(name=name)
        entry.options.map_entry = True
        entry.field.add(
            name="key", number=1, type=FieldDescriptorProto.TYPE_STRING, label=FieldDescriptorProto.LABEL_OPTIONAL
        )
        value = entry.field.add(name="value", number=2, label=FieldDescriptorProto.LABEL_OPTIONAL)
        self._set_type(value, values)
        return f".{self.file.package}.{message.name}.{name}"


def checked_type(expression: str, schema: Schema, name: str) -> str:
    """The type of an expression about `self`, a value of the schema; raise when it has none."""
    messages = _Messages(name)
    kind = "array" if schema.get("type") == "array" else "map" if "additionalProperties" in schema else "object"
    inner = schema["items"] if kind == "array" else schema["additionalProperties"] if kind == "map" else schema
    element = _PLAIN_CEL.get(inner.get("type", ""))
    if element is None:
        element = cel.Type(messages.add(inner).lstrip("."))
    pool = descriptor_pool.Default()
    pool.Add(messages.file)
    types = {"array": cel.Type.List, "map": lambda of: cel.Type.Map(cel.Type.STRING, of), "object": lambda of: of}
    self_type = types[kind](element)
    total = cel.Overload(
        "sum_ints",
        return_type=cel.Type.INT,
        parameters=[cel.Type.List(cel.Type.INT)],
        is_member=True,
        impl=lambda values: sum(values),
    )
    env = cel.NewEnv(
        pool,
        variables={"self": self_type, "oldSelf": self_type},
        functions=[cel.FunctionDecl("sum", [total])],
    )
    return str(env.compile(expression).return_type().name())
