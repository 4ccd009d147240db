"""Mappings in exports.toml: what is wrong with one is told by its place."""

import tomllib

import pytest
from hostile import cases

from mobexport.config import ExportsConfig, load_config
from mobexport.errors import ConfigError
from mobexport.raw_mapping import RawMapping, mapping_to_json
from mobexport.raw_paths import escape_member, parse_path

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
        ("a format", "time_zone", 'format = "csv"\ntime_zone', "'json', 'tsv', 'parquet' or 'avro'"),
        (
            "tsv without columns",
            "time_zone",
            'format = "tsv"\ntime_zone',
            "columns: say format = ",
        ),
        ("a path that ends with a dot", '"event"', '"event."', "a dot within a name is written \\."),
        ("a path of where", 'type = "track"', '"a..b" = "x"', "a dot within a name is written \\."),
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


FIELDS = 'fields = { deviceId = "device", name = "event", timestamp = "at", extras = "props.inner" }'
TSV = f"""
[apps.shop.raw.events]
format = "tsv"
columns = ["device", "event", "at", "props", "kind"]
where = {{ kind = "track" }}
{FIELDS}
"""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    cases(
        ("no format", 'format = "tsv"', "", 'raw.events.columns: say format = "tsv" and columns together'),
        ("a column twice", '"kind"]', '"at"]', "raw.events.columns: at stands twice"),
        ("no such column", '"props.inner"', '"prop.inner"', "'prop' is none of the columns; did you mean `p"),
        ("no such column in where", "{ kind =", "{ king =", "where: 'king' is none of the columns; did you"),
        ("a number in where", '"track" }', "5 }", "where: cells are text: write the values of kind"),
        ("no fields", FIELDS, "", "raw.events.fields: say which columns are the fields"),
    ),
)  # fmt: skip
def test_given_wrong_columns_when_loaded_then_the_place_is_told(tmp_path, old, new, told) -> None:
    assert old in TSV
    file = tmp_path / "exports.toml"
    file.write_text(TSV, "utf-8")
    load_config(file, required=True)
    file.write_text(TSV.replace(old, new), "utf-8")
    with pytest.raises(ConfigError) as error:
        load_config(file, required=True)
    assert told in error.value.message


@pytest.mark.parametrize(
    ("text", "members", "steps"),
    cases(
        ("members", "a.b", ("a", "b"), ()),
        ("a dot", r"a\.b.c", ("a.b", "c"), ()),
        ("brackets", r"a\[0\]", ("a[0]",), ()),
        ("a key with dots", "list[a.b].c", ("list",), (("a.b", True), ("c", False))),
        ("a dot behind a list", r"list[0].a\.b", ("list",), (("0", True), ("a.b", False))),
        ("several", "a.l[x][0].y.z", ("a", "l"), (("x", True), ("0", True), ("y", False), ("z", False))),
        ("other signs", "$a b/ü", ("$a b/ü",), ()),
    ),
)  # fmt: skip
def test_given_a_path_when_parsed_then_its_members_and_steps(text, members, steps) -> None:
    path = parse_path(text)
    assert (path.members, path.steps) == (members, steps)


@pytest.mark.parametrize("name", ["a", "a.b", "a[0]", "...", "ü ü", "]"])
def test_given_any_name_when_escaped_then_its_path_is_that_member(name: str) -> None:
    assert parse_path(escape_member(name)).members == (name,)
    assert parse_path(f"x.{escape_member(name)}").members == ("x", name)


@pytest.mark.parametrize(
    "text", ["", ".", "a.", ".a", "a..b", "a[", "a[]", "a]", "[0]", "a[0]b", "a\\", r"a\b", 'a"b', "a\nb"]
)
def test_given_no_path_when_parsed_then_refused(text: str) -> None:
    with pytest.raises(ValueError, match="members with dots between"):
        parse_path(text)
