"""Mappings in exports.toml: what is wrong with one is told by its place."""

import tomllib

import pytest
from hostile import cases

from mobexport.config import ExportsConfig, load_config
from mobexport.errors import ConfigError
from mobexport.raw_mapping import RawMapping, mapping_to_json

GOOD = """
[apps.shop.raw.events]
path = "dump/{date:%Y/%m/%d}/*.json.gz"
where = { type = "track" }
time_zone = "Europe/Berlin"
[apps.shop.raw.events.fields]
deviceId = ["context.device.id", "anonymousId"]
name = "event"
timestamp = { path = "at", as = "local" }
extras = "properties"
"""


def test_given_a_mapping_when_read_then_it_survives_the_plan() -> None:
    mapping = ExportsConfig.model_validate(tomllib.loads(GOOD)).apps["shop"].raw["events"]
    assert mapping.fields["deviceId"].path == ("context.device.id", "anonymousId")
    assert mapping.selects == {"type": ("track",)}
    assert RawMapping.model_validate(mapping_to_json(mapping)) == mapping


@pytest.mark.parametrize(
    ("old", "new", "told"),
    cases(
        ("a kind", "raw.events", "raw.event", "raw.event: no kind of raw data; there are activities"),
        ("a field", 'extras = "', 'extra = "', "raw.events.fields.extra: no field of events"),
        ("a required field", 'name = "event"', "", "raw.events.fields: name must be mapped"),
        ("a zone", "Europe/Berlin", "Berlin", "'Berlin' is no time zone; use a name such as Europe/Berlin"),
        (
            "local without zone",
            'time_zone = "Europe/Berlin"',
            "",
            "fields.timestamp.as: local needs time_zone",
        ),
        (
            "a form",
            '"event"',
            '{ path = "event", as = "epoch-s" }',
            "epoch-s does not fit; a field of",
        ),
        ("a token", "{date:%Y/%m/%d}", "{day}", "{day}: there are {app}, {kind} and {date:%Y-%m-%d}"),
        ("a code", "%Y/%m/%d", "%y", "{date:%y}: there are {app}, {kind} and {date:%Y-%m-%d}"),
        ("nothing", '"event"', "{}", 'say one of path and constant, as "a.b" or { constant = "x" }'),
        ("a key", "where", "wher", "apps.shop.raw.events.wher"),
        ("a format", "time_zone", 'format = "csv"\ntime_zone', "'ndjson', 'json', 'parquet' or 'avro'"),
        ("a preset", "time_zone", 'preset = "x"\ntime_zone', "raw.events.preset: there is no 'x'; there are"),
    ),
)
def test_given_a_wrong_mapping_when_loaded_then_the_place_is_told(tmp_path, old, new, told) -> None:
    assert old in GOOD
    file = tmp_path / "exports.toml"
    file.write_text(GOOD.replace(old, new), "utf-8")
    with pytest.raises(ConfigError) as error:
        load_config(file, required=True)
    assert told in error.value.message
