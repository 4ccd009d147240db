"""The ten declarations against the contract, and declarations that contradict themselves."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from type_table import TYPES

from mobexport import export_types
from mobexport.export_types import Collected, Field, FieldKind, Flat, Latest, Merge, Parameters, Route

SCHEMA = json.loads((Path(__file__).parents[1] / "data/export-files.schema.json").read_text("utf-8"))["$defs"]
JSON_TYPES = {"integer": FieldKind.INTEGER, "boolean": FieldKind.BOOLEAN, "string": FieldKind.TEXT}


def test_registry_has_the_ten_types_and_all_routes_of_the_contract() -> None:
    assert {
        one.name: (declared.name, one.parameters)
        for declared in export_types.all_types()
        for one in declared.routes
    } == {
        "activities": ("Activity", Parameters.DATES),
        "crashes": ("Crash", Parameters.DATES),
        "errors": ("Error", Parameters.DATES),
        "events": ("Event", Parameters.DATES),
        "jobs": ("Job", Parameters.DATES),
        "sessions": ("Session", Parameters.DATES),
        "tags": ("Tag", Parameters.SNAPSHOT),
        "tokens": ("Token", Parameters.SNAPSHOT),
        "devices": ("Device", Parameters.SNAPSHOT),
        "feedbackByDate": ("Push", Parameters.FEEDBACK_DATES),
        "feedbackByCampaign": ("Push", Parameters.FEEDBACK_CAMPAIGNS),
    }
    declared, route = export_types.route("FeedbackByCampaign")
    assert (declared.name, route.name) == ("Push", "feedbackByCampaign")


@pytest.mark.parametrize("declared", export_types.all_types(), ids=lambda declared: declared.name)
def test_declared_columns_are_those_of_the_schema(declared) -> None:
    item = SCHEMA[f"{declared.name.lower()}Export"]["items"]
    expected = set(_leaves(item, "", declared.inner))
    columns = {column.name for column in declared.columns}
    if isinstance(declared.shape, Latest):
        columns = columns - {declared.shape.key, declared.shape.value} | {declared.inner}
    assert columns == expected
    for column in declared.columns:
        if "." in column.name:
            outer, inner = column.name.split(".")
            schema = item["properties"][outer]["properties"][inner]
            assert column.kind is JSON_TYPES[schema["type"]]
    for sample in declared.samples:
        assert set(json.loads(sample)) <= {field.name for field in declared.fields}


def _leaves(schema: dict[str, Any], prefix: str, nested: str) -> list[str]:
    found = []
    for name, value in schema["properties"].items():
        if name == nested and "items" in value:
            found += _leaves(value["items"], "", "")
        elif "properties" in value:
            found += _leaves(value, f"{name}.", "")
        else:
            found.append(prefix + name)
    return found


def test_the_judges_table_knows_every_type_and_column() -> None:
    declared = {one.name: [column.name for column in one.columns] for one in export_types.all_types()}
    assert declared == {name: [field.name for field in one.columns] for name, one in TYPES.items()}


def test_push_choices_are_those_of_the_schema() -> None:
    properties = SCHEMA["pushExport"]["items"]["properties"]
    push = export_types.get("Push")
    assert list(push.field("campaignType").choices) == properties["campaignType"]["enum"]
    assert list(push.field("status").choices) == properties["status"]["items"]["enum"]


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("Event", {"time": "name"}, "'name' is not a required time"),
        ("Event", {"group": ("name",)}, "the group's fields come first"),
        ("Tag", {"shape": Latest("key", "worth", "appInfo")}, "key and value must be fields"),
        ("Push", {"shape": Collected("flags")}, "the list must be of a field"),
        ("Session", {"merge": Merge(("deviceId",), "start")}, "different groups must not be merged"),
        ("Push", {"routes": (Route("other", Parameters.SNAPSHOT),)}, "first of the routes"),
        ("Token", {"joined": export_types.get("Event")}, "only the map"),
        ("Session", {"joined": export_types.get("Tag")}, "only the map"),
        ("Token", {"shape": Flat(), "fields": (Field("a-b", FieldKind.ID),)}, "'a-b' is not a field name"),
    ],
)
def test_given_a_declaration_that_contradicts_itself_then_refused(name, changes, says) -> None:
    with pytest.raises(ValueError, match=says):
        replace(export_types.get(name), **changes)
