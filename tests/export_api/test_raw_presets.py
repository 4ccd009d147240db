"""Presets: files in the shape that each producer documents, from raw to Parquet."""

import gzip
import json
from datetime import date, datetime
from functools import partial
from typing import Any

import pytest
from hostile import cases, convert
from raw_files import capture, lines, parquet, put

from mobexport import export_types
from mobexport.config import ExportsConfig
from mobexport.export_api.raw_check import check_raw_data
from mobexport.export_api.raw_suggestions import suggest
from mobexport.export_api.writer.export_file import RawFile, write_export
from mobexport.export_api.writer.raw_store import plan_files
from mobexport.raw_presets import PAGES, PRESETS
from mobexport.records.limits import Limits
from mobexport.snowplow import COLUMNS

DAY = date(2025, 3, 23)
AT = "2025-03-23T14:37:38.184Z"

# https://segment.com/docs/connections/spec/common and …/spec/track, spec/screen: common fields of a mobile
# library; the files are newline-separated JSON in gzip, below the day of receipt as a Unix time in ms.
SEGMENT = {
    "anonymousId": "507f191e810c19729de860ea",
    "channel": "mobile",
    "context": {
        "app": {"name": "InitechGlobal", "version": "545", "build": "3.0.1.545"},
        "device": {
            "id": "B5372DB0-C21E-11E4-8DFC-AA07A5B093DB", "manufacturer": "Apple", "model": "iPhone7,2",
            "type": "ios",
        },
        "locale": "en-US",
        "network": {"bluetooth": False, "carrier": "T-Mobile US", "cellular": True, "wifi": False},
        "os": {"name": "iPhone OS", "version": "8.1.3"},
    },
    "event": "Registered",
    "integrations": {"All": True},
    "messageId": "022bb90c-bbac-11e4-8dfc-aa07a5b093db",
    "originalTimestamp": "2025-03-23T14:37:37.500+00:00",
    "properties": {"plan": "Pro Annual", "accountType": "Facebook"},
    "receivedAt": "2025-03-23T14:37:40.000Z",
    "sentAt": "2025-03-23T14:37:38.000Z",
    "timestamp": AT,
    "type": "track",
    "userId": "97980cfea0067",
    "version": "1.1",
}  # fmt: skip
SCREEN = {**SEGMENT, "type": "screen", "name": "Home", "properties": {"Feed Type": "private"}}
SEGMENT_LINES = lines(SEGMENT, SCREEN, {**SEGMENT, "type": "identify", "traits": {"plan": "pro"}})

# https://amplitude.com/docs/apis/analytics/export: "Export Data schema"; times are UTC without a zone.
AMPLITUDE = {
    "server_received_time": "2025-03-23 14:37:40.000000", "app": 187520, "device_carrier": None,
    "$schema": 12, "city": "San Francisco", "user_id": None, "uuid": "c7a4e0d4-4c2d-11ef-9454-0242ac120002",
    "event_time": "2025-03-23 14:37:38.184000", "platform": "iOS", "os_version": "18.3",
    "amplitude_id": 123456789, "processed_time": "2025-03-23 14:38:01.000000", "version_name": "2.3.0",
    "ip_address": "203.0.113.9", "paying": None, "dma": None, "group_properties": {},
    "user_properties": {"plan": "pro"}, "client_upload_time": "2025-03-23 14:37:39.000000",
    "event_type": "Play Song", "library": "amplitude-ios/8.0", "amplitude_attribution_ids": None,
    "device_type": "Apple iPhone", "device_manufacturer": "Apple", "start_version": "2.0.0",
    "server_upload_time": "2025-03-23 14:37:40.100000", "event_id": 7, "os_name": "ios",
    "event_properties": {"title": "Laugh Now Cry Later"}, "groups": {}, "data": {}, "region": "California",
    "device_id": "C8F9E604-F01A-4BD9-95C6-8E5357DF265D", "device_model": "iPhone 15", "language": "English",
    "country": "United States", "session_id": 1742740658000, "device_family": "Apple iPhone",
}  # fmt: skip

# https://docs.mixpanel.com/reference/raw-event-export: one object a line, time in seconds.
MIXPANEL = {
    "event": "Signed up",
    "properties": {
        "time": 1742740658, "distinct_id": "91304156-cafc-4673-a237-623d1129c801", "$device_id": "1914abcd",
        "$insert_id": "29fc2962-6d9c-455d-95ad-95b84f09b9e4", "$mp_api_endpoint": "api.mixpanel.com",
        "mp_processing_time_ms": 1742740660005, "Referred by": "Friend",
    },
}  # fmt: skip

# https://posthog.com/docs/data-pipelines/batch-exports/s3: the events model.
POSTHOG = {
    "uuid": "0195c2d1-7c2b-7f10-8c4e-6a1d2b3c4d5e", "event": "$screen",
    "distinct_id": "018a8a1f-user", "person_id": "018a8a1f-0000-0000-0000-000000000001",
    "properties": {
        "$device_id": "0190-device", "$session_id": "0195c2d1-session", "$screen_name": "Checkout",
        "$os_name": "Android",
    },
    "person_properties": {"email": "a@example.com"}, "set": None, "set_once": None, "ip": "203.0.113.9",
    "team_id": 1, "timestamp": "2025-03-23T14:37:38.184000+00:00",
    "created_at": "2025-03-23T14:37:39.100000+00:00",
}  # fmt: skip

# https://docs.snowplow.io/docs/api-reference/analytics-sdk/analytics-sdk-scala: enriched events as JSON, one
# key for each context; iglu:com.snowplowanalytics.snowplow/client_session/jsonschema/1-0-1 has the session.
SNOWPLOW = {
    "app_id": "shop", "platform": "mob", "etl_tstamp": "2025-03-23T14:38:00.000Z",
    "collector_tstamp": "2025-03-23T14:37:40.000Z", "dvce_created_tstamp": "2025-03-23T14:37:37.000Z",
    "event": "unstruct", "event_id": "c6ef3124-b53a-4b13-a233-0088f79dcbcb", "v_tracker": "ios-5.0.0",
    "event_vendor": "com.snowplowanalytics.mobile", "event_name": "screen_view", "event_format": "jsonschema",
    "derived_tstamp": AT,
    "contexts_com_snowplowanalytics_snowplow_client_session_1": [
        {
            "userId": "b2a7d8e1-5a40-4b2f-8f0a-8a6f4d9f0001",
            "sessionId": "f5a1c9d0-0000-4000-8000-000000000001",
            "sessionIndex": 3, "previousSessionId": None, "storageMechanism": "SQLITE",
        }
    ],
    "unstruct_event_com_snowplowanalytics_mobile_screen_view_1": {"name": "Home"},
}  # fmt: skip

# https://docs.snowplow.io/docs/fundamentals/canonical-event/: the cells of an enriched event of a mobile
# tracker; times without a zone are UTC, entities and self-describing events are self-describing JSON.
IGLU = "iglu:com.snowplowanalytics"
SNOWPLOW_CELLS = {
    "app_id": "shop", "platform": "mob", "etl_tstamp": "2025-03-23 14:38:00.000",
    "collector_tstamp": "2025-03-23 14:37:40.000", "dvce_created_tstamp": "2025-03-23 14:37:37.000",
    "event": "unstruct", "event_id": "c6ef3124-b53a-4b13-a233-0088f79dcbcb", "name_tracker": "appTracker",
    "v_tracker": "ios-5.0.0", "v_collector": "ssc-2.9.0-kinesis", "v_etl": "snowplow-enrich-kinesis-4.0.0",
    "user_ipaddress": "203.0.113.9", "network_userid": "4b1f7f7c-2c09-4b5e-9b0f-51a1a2f5b5aa",
    "geo_country": "DE", "geo_latitude": "52.5", "geo_longitude": "13.4",
    "contexts": json.dumps(
        {
            "schema": f"{IGLU}.snowplow/contexts/jsonschema/1-0-0",
            "data": [
                {
                    "schema": f"{IGLU}.snowplow/mobile_context/jsonschema/1-0-3",
                    "data": {"osType": "ios", "deviceModel": "iPhone15,2", "carrier": 'T-"Mobile"'},
                },
                {
                    "schema": f"{IGLU}.snowplow/client_session/jsonschema/1-0-2",
                    "data": SNOWPLOW["contexts_com_snowplowanalytics_snowplow_client_session_1"][0],
                },
            ],
        }
    ),
    "unstruct_event": json.dumps(
        {
            "schema": f"{IGLU}.snowplow/unstruct_event/jsonschema/1-0-0",
            "data": {
                "schema": f"{IGLU}.mobile/screen_view/jsonschema/1-0-0",
                "data": {"name": 'The "Home"', "id": "7a8b"},
            },
        }
    ),
    "useragent": "Shop/2.3 (iPhone)", "dvce_ismobile": "1", "dvce_sent_tstamp": "2025-03-23 14:37:39.000",
    "derived_tstamp": "2025-03-23 14:37:38.184", "event_vendor": "com.snowplowanalytics.mobile",
    "event_name": "screen_view", "event_format": "jsonschema", "event_version": "1-0-0",
}  # fmt: skip
SNOWPLOW_LINE = "\t".join(SNOWPLOW_CELLS.get(name, "") for name in COLUMNS).encode() + b"\n"

# https://support.google.com/analytics/answer/7029846: a row of events_YYYYMMDD; JSON extracts of BigQuery
# have 64-bit integers as text: https://cloud.google.com/bigquery/docs/exporting-data
GA4 = {
    "event_date": "20250323", "event_timestamp": "1742740658184001", "event_name": "screen_view",
    "event_params": [
        {"key": "firebase_screen", "value": {"string_value": "Home"}},
        {"key": "ga_session_id", "value": {"int_value": "1742740600"}},
        {"key": "engaged_session_event", "value": {"int_value": "1"}},
        {"key": "rate", "value": {"double_value": 1.5}},
    ],
    "user_pseudo_id": "5ca5a5c9ae9c4c9b8a7b", "user_first_touch_timestamp": "1742600000000000",
    "device": {
        "category": "mobile", "mobile_brand_name": "Google", "mobile_model_name": "Pixel 4a",
        "operating_system": "ANDROID", "operating_system_version": "13", "language": "en-us",
    },
    "app_info": {"id": "com.example.shop", "version": "2.3.0"}, "platform": "ANDROID", "stream_id": "123",
}  # fmt: skip

# https://learn.microsoft.com/azure/azure-monitor/reference/tables/appevents (columns) and
# https://learn.microsoft.com/azure/azure-monitor/platform/resource-logs-schema (time, resourceId; blobs).
INSIGHTS = {
    "time": "2025-03-23T14:37:38.1840000Z",
    "resourceId": "/SUBSCRIPTIONS/0/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.INSIGHTS/COMPONENTS/SHOP",
    "ResourceGUID": "8ba25e2c-1f5b-4f0a-9d0e-000000000001", "Type": "AppEvents", "ClientType": "PC",
    "ClientModel": "Pixel 4a", "ClientOS": "Android", "ClientIP": "0.0.0.0", "ClientCity": "Berlin",
    "AppVersion": "2.3.0", "SDKVersion": "android:1.0", "ItemCount": 1, "Name": "add_to_cart",
    "UserId": "u-1f3a", "SessionId": "s-77", "Properties": {"sku": "A-17"}, "Measurements": {"price": 9.5},
}  # fmt: skip

# https://support.countly.com/hc/en-us/articles/15831152190748-countly-dril-drill-events: a document's fields
COUNTLY = {
    "_id": "d9477ba1a1ac4bea629a28ca9c3d4ed42cdde5391632013840_aK_1632009840000_1",
    "a": "62e0f9e3ac58e3dfbca6466c", "e": "[CLY]_view", "uid": "a1",
    "did": "de2e786f-a4b9-848c-f6af-0d0ac60ccc0d", "ts": 1742740658184, "cd": "2025-03-23T14:37:40.000Z",
    "up": {"fs": 1413800814, "sc": 1, "d": "One Touch Idol X", "cc": "JP", "p": "WP8"},
    "sg": {"name": "Checkout", "visit": "1"}, "c": 1, "s": 0, "dur": 0, "d": "2025:3:23", "w": "2025:w12",
}  # fmt: skip

OWN = {"deviceId": "d1", "name": "add_to_cart", "timestamp": AT, "extras": {"sku": "A-17"}}
INSIGHTS_AT = "resourceId=/SUBSCRIPTIONS/0/y=2025/m=03/d=23/h=14/m=00/PT1H.json"
POSTHOG_ROW = {**POSTHOG, "properties": json.dumps(POSTHOG["properties"])}

FILES = cases(
    ("Segment", "segment", "events", "app/segment-logs/src/1742688000000/a.gz", gzip.compress(SEGMENT_LINES),
     ("B5372DB0-C21E-11E4-8DFC-AA07A5B093DB", "Registered", AT, SEGMENT["properties"])),
    ("Segment screens", "segment", "activities", "app/segment-logs/s/1742688000000/a.gz",
     gzip.compress(SEGMENT_LINES),
     ("B5372DB0-C21E-11E4-8DFC-AA07A5B093DB", "Home", AT, {"Feed Type": "private"})),
    ("Amplitude", "amplitude", "events", "app/amplitude/187520_2025-03-23_14#0.json.gz",
     gzip.compress(lines(AMPLITUDE)),
     ("C8F9E604-F01A-4BD9-95C6-8E5357DF265D", "Play Song", AT, {"title": "Laugh Now Cry Later"})),
    ("Mixpanel", "mixpanel", "events", "app/mixpanel/2025-03-23.jsonl", lines(MIXPANEL),
     ("1914abcd", "Signed up", "2025-03-23T14:37:38.000Z", MIXPANEL["properties"])),
    ("PostHog", "posthog", "events", "app/posthog/2025-03-23T14-00.jsonl", lines(POSTHOG),
     ("0190-device", "$screen", AT, POSTHOG["properties"])),
    ("PostHog screens, Parquet", "posthog", "activities", "app/posthog/2025-03-23.parquet",
     parquet(POSTHOG_ROW), ("0190-device", "Checkout", AT, POSTHOG["properties"])),
    ("Snowplow", "snowplow", "events", "app/snowplow/run=2025-03-23-14-00-00/output=good/part-0.txt.gz",
     gzip.compress(lines(SNOWPLOW)), ("b2a7d8e1-5a40-4b2f-8f0a-8a6f4d9f0001", "screen_view", AT, None)),
    ("Snowplow, tab-separated", "snowplow-tsv", "events",
     "app/snowplow/run=2025-03-23-14-00-00/output=good/part-00000.gz", gzip.compress(SNOWPLOW_LINE),
     ("b2a7d8e1-5a40-4b2f-8f0a-8a6f4d9f0001", "screen_view", AT, {"name": 'The "Home"', "id": "7a8b"})),
    ("GA4", "ga4", "events", "app/ga4/events_20250323-000.json.gz", gzip.compress(lines(GA4)),
     ("5ca5a5c9ae9c4c9b8a7b", "screen_view", "2025-03-23T14:37:38.184001Z",
      {"firebase_screen": "Home", "ga_session_id": 1742740600, "engaged_session_event": 1, "rate": 1.5})),
    ("GA4 screens, Parquet", "ga4", "activities", "app/ga4/events_20250323.parquet",
     parquet({**GA4, "event_timestamp": 1742740658184001}),
     ("5ca5a5c9ae9c4c9b8a7b", "Home", "2025-03-23T14:37:38.184001Z", ...)),
    ("Application Insights", "application-insights", "events", INSIGHTS_AT, lines(INSIGHTS),
     ("u-1f3a", "add_to_cart", AT, {"sku": "A-17"})),
    ("Countly", "countly", "events", "app/countly/2025-03-23/drill.json", json.dumps([COUNTLY]).encode(),
     ("de2e786f-a4b9-848c-f6af-0d0ac60ccc0d", "[CLY]_view", AT, COUNTLY["sg"])),
    ("Countly views", "countly", "activities", "app/countly/2025-03-23/drill.json", lines(COUNTLY),
     ("de2e786f-a4b9-848c-f6af-0d0ac60ccc0d", "Checkout", AT, COUNTLY["sg"])),
    ("Event Hubs Capture", "event-hubs-capture", "events", "ns/events/0/2025/03/23/14/37/00.avro",
     capture(json.dumps(OWN).encode()), ("d1", "add_to_cart", AT, {"sku": "A-17"})),
)  # fmt: skip


@pytest.mark.parametrize(("preset", "kind", "name", "data", "expected"), FILES)
def test_given_a_producers_file_when_exported_then_parquet(
    tmp_path, preset, kind, name, data, expected
) -> None:
    raw = {"preset": preset, "container": "raw"}
    config = ExportsConfig.model_validate({"apps": {"app": {"raw": {kind: raw}}}})
    source = put(tmp_path / "raw", {name: data})
    report = check_raw_data(source, "raw", config, slack_days=1)
    [found] = report.apps[0].kinds
    assert (found.files, found.rejected, found.faults) == (1, 0, []), "\n".join(report.lines())
    declared = next(one for one in export_types.all_types() if one.kind == kind)
    mappings = config.apps["app"].raw
    plan = plan_files(source, "raw", "app", declared, (DAY, DAY), 1, mappings)
    files = [
        RawFile(entry.name, partial(source.read_chunks, "raw", file.blob), kind, entry.stored)
        for file in plan.files
        for entry in [file.entry("app")]
    ]
    counts = write_export(
        declared, files, window=(DAY, DAY), target=tmp_path / "target", rejects=tmp_path / "rejects",
        workdir=tmp_path / "work", limits=Limits(), mappings=mappings,
    )  # fmt: skip
    assert (counts.exported, counts.rejected) == (1, 0)
    [row] = convert(tmp_path, (tmp_path / "target").read_bytes(), declared.name).rows
    device, named, at, extras = expected
    assert (row["deviceId"], row["name"]) == (device, named)
    assert row["timestamp"] == datetime.fromisoformat(at)
    if extras is not ...:
        assert (row["extras"] and json.loads(row["extras"])) == extras


@pytest.mark.parametrize(
    ("preset", "record", "expected"),
    cases(
        ("Segment", "segment", SEGMENT, {"phoneModel": "iPhone7,2", "carrierName": "T-Mobile US"}),
        ("Amplitude", "amplitude", AMPLITUDE, {"phoneModel": "iPhone 15", "firmwareName": "ios"}),
        ("GA4", "ga4", GA4, {"phoneModel": "Pixel 4a", "applicationVersionName": "2.3.0"}),
    ),
)
def test_given_a_producers_device_when_exported_then_its_info(tmp_path, preset, record, expected) -> None:
    config = ExportsConfig.model_validate({"apps": {"app": {"raw": {"devices": {"preset": preset}}}}})
    write_export(
        export_types.get("Device"), [RawFile("a.ndjson", lambda: iter([lines(record)]), "devices")],
        target=tmp_path / "target", rejects=tmp_path / "rejects", workdir=tmp_path / "work", limits=Limits(),
        mappings=config.apps["app"].raw,
    )  # fmt: skip
    [device] = json.loads((tmp_path / "target").read_bytes())
    assert {name: device["info"].get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("preset", "record"),
    cases(
        ("Segment", "segment", SEGMENT), ("Amplitude", "amplitude", AMPLITUDE),
        ("Mixpanel", "mixpanel", MIXPANEL), ("PostHog", "posthog", POSTHOG), ("GA4", "ga4", GA4),
        ("Snowplow", "snowplow", SNOWPLOW), ("Countly", "countly", COUNTLY),
        ("Application Insights", "application-insights", INSIGHTS),
    ),
)  # fmt: skip
def test_given_a_producers_record_when_suggested_then_its_preset(preset: str, record: Any) -> None:
    found = suggest(export_types.get("Event"), record, "events/2025-03-23/a.ndjson", reads_names=False)
    assert found.keys["preset"] == f'"{preset}"'


def test_every_preset_is_valid_and_has_its_page() -> None:
    assert PRESETS.keys() == PAGES.keys()
    for name, kinds in PRESETS.items():
        raw = {kind: {"preset": name} for kind in kinds}
        ExportsConfig.model_validate({"apps": {"app": {"raw": raw}}})


def test_given_keys_beside_a_preset_when_read_then_they_count() -> None:
    own = {"preset": "segment", "path": "x/{date:%Y}/*", "fields": {"sessionId": "context.session"}}
    config = ExportsConfig.model_validate({"apps": {"app": {"raw": {"events": own}}}})
    mapping = config.apps["app"].raw["events"]
    assert (mapping.path, mapping.fields["sessionId"].path) == ("x/{date:%Y}/*", ("context.session",))
    assert mapping.fields["name"].path == ("event",)


def test_given_other_files_below_segments_folders_then_told(tmp_path) -> None:
    config = ExportsConfig.model_validate({"apps": {"app": {"raw": {"events": {"preset": "segment"}}}}})
    packed = gzip.compress(SEGMENT_LINES)
    files = {
        "app/segment-logs/src/1742688000000/a.gz": packed,
        "app/segment-logs/src/1742688000000/README.txt": b"?",
        "app/segment-logs/src/2025-03-23/b.gz": packed,
        "app/segment-logs/src/1742688000000/more/c.gz": packed,
        "app/segment-logs/src/1742774400000/d.gz": packed,
        "app/segment-logs/src/1743292800000/e.gz": packed,
    }
    source = put(tmp_path / "raw", files)
    report = check_raw_data(source, "raw", config, slack_days=1)
    assert report.apps[0].kinds[0].files == 3
    (skip,) = report.apps[0].skipped
    assert (skip.files, skip.reason) == (3, "does not fit the path {app}/segment-logs/*/{date:%Q}/*.gz")
    # Calls of the 23rd lie in its folder, or in that of a day beside it.
    plan = plan_files(source, "raw", "app", export_types.get("Event"), (DAY, DAY), 1, config.apps["app"].raw)
    names = [file.blob.name.rpartition("/")[2] for file in plan.files]
    assert names == ["a.gz", "d.gz"]
