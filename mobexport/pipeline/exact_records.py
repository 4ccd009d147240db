"""The records of an element that DuckDB would not take apart exactly, would not take, or should not.

Slower, and only for such elements: numbers as `1e3`, escapes, long texts, names that stand twice, no JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from mobexport import json_text
from mobexport.export_types.model import ExportType, Grouped, Latest
from mobexport.pipeline.conversion_queries import top_names

Record = tuple[int, int, str | None, str | None, bool, str, str | None]
"""A row of the table `record`: element, record, head, body, protected, original, fault."""


def exact_records(
    export_type: ExportType, number: int, first: int, text: str
) -> Iterator[tuple[Record, dict[str, str]]]:
    """The records of the element `number`, the first of them numbered `first`; one at fault if it has none.

    With each record its long texts by field, for which short ones stand in it.
    """

    def fault(rule: str) -> tuple[Record, dict[str, str]]:
        return (number, first, None, None, True, json_text.shown(text), rule), {}

    if not isinstance(export_type.shape, Grouped | Latest):
        try:
            body, long = _body(export_type, "", text)
        except json_text.NotJson as verdict:
            yield fault(verdict.rule)
        else:
            yield (number, first, None, body, True, json_text.shown(text), None), long
        return
    inner = export_type.inner
    try:
        element = json_text.members(text)
        if element is None:
            yield fault("not-an-object")
            return
        head = {field.name: element.get(field.name, "null") for field in export_type.group_fields}
        prefix = json_text.protect(head, (), export_type.group)[0][1:-1]
        nested = element.get(inner, "null")
        records = _records(export_type, nested)
    except json_text.NotJson as verdict:
        yield fault(verdict.rule)
        return
    if records is None:
        yield fault(f"{'missing' if nested == 'null' else 'wrong-type'}:{inner}")
        return
    for place, original in enumerate(records):
        shown = json_text.shown(original)
        try:
            body, long = _body(export_type, prefix, original)
        except json_text.NotJson as verdict:
            yield (number, first + place, None, None, True, shown, verdict.rule), {}
        else:
            yield (number, first + place, prefix, body, True, shown, None), long


def _records(export_type: ExportType, nested: str) -> list[str] | None:
    """Each record as JSON; None if there is no list (or map) of them."""
    shape = export_type.shape
    if isinstance(shape, Grouped):
        return json_text.items(nested)
    assert isinstance(shape, Latest)
    entries = json_text.members(nested)
    if entries is None:
        return None
    return [
        json.dumps({shape.key: key})[:-1] + f',"{shape.value}":{value}}}' for key, value in entries.items()
    ]


def _body(export_type: ExportType, prefix: str, original: str) -> tuple[str, dict[str, str]]:
    """The record for the table, and its long texts. Raises NotJson."""
    if json_text.has_lone_surrogate(prefix) or json_text.has_lone_surrogate(original):
        raise json_text.NotJson("lone-surrogate")
    values = json_text.members(original)
    if values is None:
        # No fault here: the query finds what is no object, for all records alike.
        return "null", {}
    raw = {column.name for column in export_type.columns if column.is_raw_json}
    return json_text.protect(values, raw, top_names(export_type) - raw)
