"""The table of fields that the controllers read says what IBM's specification says."""

from __future__ import annotations

from typing import Any

import pytest

from qmode_widgets.ibm.wire import SHAPES

from .specification import DOCUMENT

SCHEMAS = DOCUMENT["components"]["schemas"]
OBJECTS = {
    "session": "Session",
    "job": "Job",
    "jobs": "Jobs",
    "metrics": "JobMetrics",
    "workload": "Workload",
    "workloads": "Workloads",
    "instance usage": "InstanceUsage",
}
OURS = {("job", "simulation"), ("job", "simulation.description")}  # of the embedded service
SEEN = {
    ("job", "ended"),
    ("job", "state.reasonCode"),
    ("job", "state.reasonSolution"),
    *OURS,
}  # not in the specification
KINDS = {
    "id": {"string"},
    "text": {"string"},
    "word": {"string"},
    "time": {"string"},
    "flag": {"boolean"},
    "seconds": {"number", "integer"},
    "code": {"integer"},
    "object": {"object"},
    "list": {"array"},
}


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = SCHEMAS[schema["$ref"].rsplit("/", 1)[1]]
    return schema


def told(shape: str, path: str) -> tuple[dict[str, Any], bool]:
    """The schema of a field, and whether its object requires it."""
    schema, required = schema_of(shape), False
    for step in path.split("."):
        required = step in schema.get("required", [])
        schema = resolved(schema["properties"][step])
    return schema, required


def schema_of(shape: str) -> dict[str, Any]:
    if shape == "transition":
        found: dict[str, Any] = SCHEMAS["Session"]["properties"]["timestamps"]["items"]
        return found
    return resolved({"$ref": f"/{OBJECTS[shape]}"})


FIELDS = [(shape, field) for shape in SHAPES for field in SHAPES[shape].fields if (shape, field.path) not in SEEN]


@pytest.mark.parametrize(("shape", "field"), FIELDS, ids=[f"{shape}-{field.path}" for shape, field in FIELDS])
def test_a_field_is_promised_as_the_specification_promises_it(shape, field):
    schema, required = told(shape, field.path)
    types = schema.get("type", "string")
    kinds = set(types if isinstance(types, list) else [types])
    nullable = "null" in kinds
    assert kinds - {"null"} <= KINDS[field.kind]
    assert field.promise == ("optional" if not required else "nullable" if nullable else "required")
    words = schema.get("enum", [])
    assert set(words) <= set(field.words), "a word of the specification is not known"
    if schema.get("deprecated"):
        assert field.instead


@pytest.mark.parametrize("shape", SHAPES)
def test_the_table_names_every_other_field_of_the_specification(shape):
    """So that a field which nobody knows can be told from one that is not needed."""
    read = {field.path.partition(".")[0] for field in SHAPES[shape].fields}
    assert set(SHAPES[shape].others) == set(schema_of(shape)["properties"]) - read
