"""The injection's CEL, evaluated for real: typed by Kubernetes' own schema of a pod, and its JSON patch applied.

The API server types an object by its place, `Object.spec.volumes`, and does not look at the names of fields. This is
stricter: each such type becomes a protobuf message with the fields that the schema has, so a field that does not exist
or has another type is found by the compiler.
"""

import copy
import json
import pathlib
import re

import jsonpatch
import kubernetes_validate
from cel_expr_python import cel
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory, struct_pb2, wrappers_pb2

OPTIONAL, REPEATED = 1, 3
INT32, BOOL, STRING, MESSAGE = 5, 8, 9, 11
TYPE = re.compile(r"\bObject(?:\.\w+)*(?=\{)")
LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"')


def schema_of_pods(version):
    folder = pathlib.Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / f"v{version}.0-local"
    definitions = json.loads((folder / "_definitions.json").read_text())["$defs"]

    def resolved(schema):
        while "$ref" in schema:
            schema = definitions[schema["$ref"].rsplit("/", 1)[1]]
        return schema

    def at(path):
        schema = resolved(definitions["io.k8s.api.core.v1.Pod"])
        for name in path:
            schema = resolved(schema["properties"][name])
            if "items" in schema:
                schema = resolved(schema["items"])
        return schema

    return at, resolved


def flat(name):
    return name.replace(".", "_")


def outside_of_texts(expression, change):
    """The expression with `change` made to all but its string literals."""
    texts = LITERAL.findall(expression)
    parts = [change(part) for part in LITERAL.split(expression)]
    return "".join(part + text for part, text in zip(parts, texts + [""]))


class Types:
    """Messages for the types that an expression names, and the environment that knows them."""

    def __init__(self, expression, version):
        self.pool = descriptor_pool.DescriptorPool()
        for module in (struct_pb2, any_pb2, wrappers_pb2):
            known = descriptor_pb2.FileDescriptorProto()
            module.DESCRIPTOR.CopyToProto(known)
            self.pool.Add(known)
        self.file = descriptor_pb2.FileDescriptorProto(name="pod.proto", syntax="proto2")
        self.file.dependency.extend(["google/protobuf/struct.proto", "google/protobuf/any.proto"])
        self.names = set(TYPE.findall(LITERAL.sub('""', expression)))
        at, resolved = schema_of_pods(version)
        anything = (OPTIONAL, MESSAGE, ".google.protobuf.Any")
        self.add("JSONPatch", {"op": (OPTIONAL, STRING, ""), "path": (OPTIONAL, STRING, ""), "value": anything})
        for name in self.names:
            properties = at(name.split(".")[1:])["properties"]
            self.add(flat(name), {field: self.kind(name, field, resolved(schema), resolved) for field, schema in properties.items()})
        self.pool.Add(self.file)
        self.environment = cel.NewEnv(self.pool, variables={"object": cel.Type.DYN})

    def add(self, name, fields):
        message = self.file.message_type.add(name=name)
        for place, (field, (label, kind, of)) in enumerate(fields.items(), 1):
            message.field.add(name=field, number=place, label=label, type=kind, type_name=of or None)

    def kind(self, parent, field, schema, resolved):
        label = REPEATED if "array" in schema.get("type", []) else OPTIONAL
        item = resolved(schema.get("items", schema))
        kinds = item.get("type", "string")
        kinds = kinds if isinstance(kinds, list) else [kinds]
        if f"{parent}.{field}" in self.names:
            return label, MESSAGE, "." + flat(f"{parent}.{field}")
        if "oneOf" in item:  # a port, a quantity
            return label, MESSAGE, ".google.protobuf.Value"
        if "object" in kinds:
            return label, MESSAGE, ".google.protobuf.Struct"
        return label, {"integer": INT32, "boolean": BOOL}.get(kinds[0], STRING), ""

    def evaluate(self, expression, pod):
        typed = outside_of_texts(expression, lambda part: TYPE.sub(lambda name: flat(name[0]), part))
        return self.environment.compile(typed).eval(data={"object": pod}).plain_value()

    def plain(self, message):
        """A message as JSON; fields that were not set are not there."""
        name = message.DESCRIPTOR.full_name
        if name == "google.protobuf.Any":
            kind = self.pool.FindMessageTypeByName(message.type_url.rsplit("/", 1)[1])
            return self.plain(message_factory.GetMessageClass(kind).FromString(message.value))
        if name == "google.protobuf.Value":
            which = message.WhichOneof("kind")
            value = getattr(message, which)
            return self.plain(value) if which in ("struct_value", "list_value") else value
        if name == "google.protobuf.Struct":
            assert len({value.WhichOneof("kind") for value in message.fields.values()}) < 2, "Kubernetes has no mixed maps"
            return {key: self.plain(value) for key, value in message.fields.items()}
        if name == "google.protobuf.ListValue":
            return [self.plain(value) for value in message.values]
        if name == "google.protobuf.StringValue":
            return message.value
        fields = {}
        for field, value in message.ListFields():
            if field.message_type is None:
                fields[field.name] = list(value) if field.is_repeated else value
            else:
                fields[field.name] = [self.plain(v) for v in value] if field.is_repeated else self.plain(value)
        return fields


def check_names(expression):
    """A nested type is called after the field it stands in, which the API server checks when a pod comes."""
    bare = LITERAL.sub('""', expression)
    open_types, position = [], 0
    for match in re.finditer(r"(?:(\w+):\s*\[?\s*)?(Object(?:\.\w+)*)\{|[{}]", bare):
        if match[0] == "}":
            open_types.pop()
        elif match[2]:
            around = next((name for name in reversed(open_types) if name.startswith("Object")), None)
            if around:
                assert match[2].startswith(around + "."), f"{match[2]} in {around}"
                assert match[2].count(".") == around.count(".") + 1, f"{match[2]} in {around}"
                assert not match[1] or match[2] == f"{around}.{match[1]}", f"{match[2]} as {match[1]}"
            open_types.append(match[2])
        else:
            open_types.append(match[0])
        position = match.end()
    assert not open_types and position, "braces"


def admitted(policy, pod, version):
    """The pod as it comes out of the policy; the same object where it is left alone."""
    for condition in policy["spec"]["matchConditions"]:
        if Types(condition["expression"], version).evaluate(condition["expression"], pod) is not True:
            return pod
    for mutation in policy["spec"]["mutations"]:
        assert mutation["patchType"] == "JSONPatch", mutation
        expression = mutation["jsonPatch"]["expression"]
        check_names(expression)
        types = Types(expression, version)
        operations = []
        for patch in types.evaluate(expression, pod):
            operation = types.plain(patch)
            operation.setdefault("value", [])
            operations.append(operation)
        pod = jsonpatch.apply_patch(copy.deepcopy(pod), operations)
    return pod
