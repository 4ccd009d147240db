"""The description of both APIs explains every field and parameter, and has those that answers have."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

from mobexport.openapi import describe
from mobexport.openapi_texts import TEXTS, explained
from mobexport.pipeline.registry.export_request import ExportRequest
from mobexport.pipeline.registry.export_row import begin
from mobexport.pipeline.requests.batches import Batch, Item
from mobexport.pipeline.requests.views import show_batch, show_export

DOCUMENT = describe()
NOW = datetime(2026, 11, 24, tzinfo=UTC)
REQUEST = ExportRequest("shop", "Event", (date(2025, 3, 23), date(2025, 3, 23)), None, (), False, NOW)


def _inner(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [schema, schema.get("items", {}), *schema.get("anyOf", ())]


def _is_described(field: Mapping[str, Any]) -> bool:
    schema = field.get("schema", {})
    return any(one.get("description") for one in [*_inner(field), *_inner(schema)])


def _fields(place: str, schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for one in _inner(schema):
        for name, field in one.get("properties", {}).items():
            yield f"{place}.{name}", field
            yield from _fields(f"{place}.{name}", field)


def _parameters() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for item in DOCUMENT["paths"].values():
        for holder in (item, *(one for one in item.values() if isinstance(one, dict))):
            yield from ((one["name"], one) for one in holder.get("parameters", ()))


def _all() -> list[tuple[str, Mapping[str, Any]]]:
    schemas = DOCUMENT["components"]["schemas"].items()
    return [*_parameters(), *(field for name, schema in schemas for field in _fields(name, schema))]


def test_every_field_and_parameter_has_its_text() -> None:
    assert len(_all()) > 200
    without = {place for place, field in _all() if not _is_described(field)}
    assert not without, "give each a text in mobexport/openapi_texts.py"


def test_no_text_is_left_over() -> None:
    places = [place for place, _ in _all()]
    names = {place.rpartition(".")[2] for place in places}
    assert not [key for key in TEXTS if key not in places and key not in names]


def test_given_shared_schemas_when_explained_then_they_stay_as_they_are() -> None:
    schema = {"properties": {"state": {"type": "string"}}}
    assert explained("batch", schema)["properties"]["state"]["description"] == TEXTS["state"]
    assert schema == {"properties": {"state": {"type": "string"}}}


def test_the_answers_have_the_described_fields() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    shown = show_export(begin(REQUEST, 1, "2026-11-24T00:00:00Z"), "")
    assert set(shown) == set(schemas["export"]["properties"])
    batch = show_batch(Batch("b", (Item(REQUEST),), 4, rerun=False, created_at="2026-11-24T00:00:00Z"), "")
    assert set(batch) == set(schemas["batch"]["properties"])
    (item,) = batch["exports"]
    assert set(item) == set(schemas["batch"]["properties"]["exports"]["items"]["properties"])
