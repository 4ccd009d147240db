"""Presets of raw data mappings: the documented shapes of common producers.

A table for each producer and kind, as it would stand in `exports.toml`; docs/mappings.md is made of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mobexport.snowplow import COLUMNS as _SNOWPLOW_COLUMNS

Table = Mapping[str, Any]

_SEGMENT: Final[Table] = {
    "path": "{app}/segment-logs/*/{date:%Q}/*.gz",
    "format": "ndjson",
}
_SEGMENT_FIELDS: Final[Table] = {
    "deviceId": ["context.device.id", "anonymousId", "userId"],
    "timestamp": ["timestamp", "originalTimestamp", "receivedAt"],
}
_AMPLITUDE: Final[Table] = {
    "path": "{app}/amplitude/*_{date:%Y-%m-%d}_*.json.gz",
    "format": "ndjson",
    "time_zone": "UTC",
}
_AMPLITUDE_FIELDS: Final[Table] = {
    "deviceId": ["device_id", "user_id"],
    "timestamp": {"path": "event_time", "as": "local"},
}
_MIXPANEL_FIELDS: Final[Table] = {
    "deviceId": ["properties.$device_id", "properties.distinct_id"],
    "name": "event",
    "timestamp": {"path": "properties.time", "as": "epoch-s"},
    "extras": "properties",
}
_POSTHOG_FIELDS: Final[Table] = {
    "deviceId": ["properties.$device_id", "distinct_id"],
    "timestamp": "timestamp",
    "sessionId": "properties.$session_id",
    "extras": "properties",
}
_SNOWPLOW_SESSION: Final = "contexts_com_snowplowanalytics_snowplow_client_session_1[0]"
_SNOWPLOW_TSV_SESSION: Final = (
    "contexts.data[schema=iglu:com.snowplowanalytics.snowplow/client_session/jsonschema/1-*].data"
)
_GA4: Final[Table] = {"path": "{app}/ga4/events_{date:%Y%m%d}*"}
_GA4_FIELDS: Final[Table] = {
    "deviceId": "user_pseudo_id",
    "timestamp": {"path": "event_timestamp", "as": "epoch-us"},
    "sessionId": {"path": "event_params[ga_session_id]", "as": "text"},
    "extras": {"path": "event_params", "as": "pairs"},
}
_INSIGHTS_PATH: Final = "resourceId=/**/y={date:%Y}/m={date:%m}/d={date:%d}/h=*/m=*/PT1H.json"
_INSIGHTS_FIELDS: Final[Table] = {
    "deviceId": ["UserId", "ClientIP"],
    "timestamp": "time",
    "sessionId": "SessionId",
    "extras": "Properties",
}
_COUNTLY: Final[Table] = {"path": "{app}/countly/{date:%Y-%m-%d}/**", "format": "json"}
_COUNTLY_FIELDS: Final[Table] = {
    "deviceId": ["did", "uid"],
    "timestamp": {"path": "ts", "as": "epoch-ms"},
    "extras": "sg",
}
_CAPTURE: Final[Table] = {
    "path": "*/{kind}/*/{date:%Y/%m/%d/%H/%M/%S}.avro",
    "format": "avro",
}
_KINDS: Final = (
    "activities", "crashes", "devices", "errors", "events", "jobs", "pushes", "sessions", "tags", "tokens",
)  # fmt: skip

PRESETS: Final[Mapping[str, Mapping[str, Table]]] = {
    "segment": {
        "events": {
            **_SEGMENT,
            "where": {"type": "track"},
            "fields": {**_SEGMENT_FIELDS, "name": "event", "extras": "properties"},
        },
        "activities": {
            **_SEGMENT,
            "where": {"type": ["screen", "page"]},
            "fields": {**_SEGMENT_FIELDS, "name": "name", "extras": "properties"},
        },
        "devices": {
            **_SEGMENT,
            "fields": {
                **_SEGMENT_FIELDS,
                "info.phoneModel": "context.device.model",
                "info.phoneManufacturer": "context.device.manufacturer",
                "info.firmwareName": "context.os.name",
                "info.firmwareVersion": "context.os.version",
                "info.carrierName": "context.network.carrier",
                "info.locale": "context.locale",
                "info.applicationVersionName": "context.app.version",
            },
        },
    },
    "amplitude": {
        "events": {
            **_AMPLITUDE,
            "fields": {
                **_AMPLITUDE_FIELDS,
                "name": "event_type",
                "sessionId": {"path": "session_id", "as": "text"},
                "extras": "event_properties",
            },
        },
        "devices": {
            **_AMPLITUDE,
            "fields": {
                **_AMPLITUDE_FIELDS,
                "info.phoneModel": "device_model",
                "info.phoneManufacturer": "device_manufacturer",
                "info.firmwareName": "os_name",
                "info.firmwareVersion": "os_version",
                "info.carrierName": "device_carrier",
                "info.locale": "language",
                "info.applicationVersionName": "version_name",
                "location.region": "region",
                "location.locality": "city",
            },
        },
    },
    "mixpanel": {
        "events": {
            "path": "{app}/mixpanel/{date:%Y-%m-%d}*",
            "format": "ndjson",
            "fields": _MIXPANEL_FIELDS,
        },
    },
    "posthog": {
        "events": {
            "path": "{app}/posthog/{date:%Y-%m-%d}*",
            "fields": {**_POSTHOG_FIELDS, "name": "event"},
        },
        "activities": {
            "path": "{app}/posthog/{date:%Y-%m-%d}*",
            "where": {"event": "$screen"},
            "fields": {**_POSTHOG_FIELDS, "name": "properties.$screen_name"},
        },
    },
    "snowplow": {
        "events": {
            "path": "{app}/snowplow/run={date:%Y-%m-%d}-*/output=good/**",
            "format": "ndjson",
            "fields": {
                "deviceId": [f"{_SNOWPLOW_SESSION}.userId", "domain_userid", "network_userid"],
                "name": ["event_name", "event"],
                "timestamp": ["derived_tstamp", "collector_tstamp"],
                "sessionId": [f"{_SNOWPLOW_SESSION}.sessionId", "domain_sessionid"],
            },
        },
    },
    "snowplow-tsv": {
        "events": {
            "path": "{app}/snowplow/run={date:%Y-%m-%d}-*/output=good/**",
            "format": "tsv",
            "columns": _SNOWPLOW_COLUMNS,
            "time_zone": "UTC",
            "fields": {
                "deviceId": [f"{_SNOWPLOW_TSV_SESSION}.userId", "domain_userid", "network_userid"],
                "name": ["event_name", "event"],
                "timestamp": {"path": ["derived_tstamp", "collector_tstamp"], "as": "local"},
                "sessionId": [f"{_SNOWPLOW_TSV_SESSION}.sessionId", "domain_sessionid"],
                "extras": "unstruct_event.data.data",
            },
        },
    },
    "ga4": {
        "events": {**_GA4, "fields": {**_GA4_FIELDS, "name": "event_name"}},
        "activities": {
            **_GA4,
            "where": {"event_name": "screen_view"},
            "fields": {
                **_GA4_FIELDS,
                "name": ["event_params[firebase_screen]", "event_params[firebase_screen_class]"],
            },
        },
        "devices": {
            **_GA4,
            "fields": {
                "deviceId": "user_pseudo_id",
                "timestamp": {"path": "event_timestamp", "as": "epoch-us"},
                "info.phoneModel": "device.mobile_model_name",
                "info.phoneManufacturer": "device.mobile_brand_name",
                "info.firmwareName": "device.operating_system",
                "info.firmwareVersion": "device.operating_system_version",
                "info.locale": "device.language",
                "info.applicationVersionName": "app_info.version",
            },
        },
    },
    "application-insights": {
        "events": {
            "container": "insights-logs-appevents",
            "path": _INSIGHTS_PATH,
            "format": "ndjson",
            "fields": {**_INSIGHTS_FIELDS, "name": "Name"},
        },
        "activities": {
            "container": "insights-logs-apppageviews",
            "path": _INSIGHTS_PATH,
            "format": "ndjson",
            "fields": {**_INSIGHTS_FIELDS, "name": "Name"},
        },
        "errors": {
            "container": "insights-logs-appexceptions",
            "path": _INSIGHTS_PATH,
            "format": "ndjson",
            "fields": {**_INSIGHTS_FIELDS, "name": ["ExceptionType", "ProblemId"]},
        },
    },
    "countly": {
        "events": {**_COUNTLY, "fields": {**_COUNTLY_FIELDS, "name": "e"}},
        "activities": {
            **_COUNTLY,
            "where": {"e": "[CLY]_view"},
            "fields": {**_COUNTLY_FIELDS, "name": "sg.name"},
        },
    },
    "event-hubs-capture": dict.fromkeys(_KINDS, _CAPTURE),
}

PAGES: Final[Mapping[str, tuple[str, str]]] = {
    "segment": (
        "Segment, files of the S3 destination",
        "https://segment.com/docs/connections/storage/catalog/aws-s3/",
    ),
    "amplitude": (
        "Amplitude, files of the Export API",
        "https://amplitude.com/docs/apis/analytics/export",
    ),
    "mixpanel": (
        "Mixpanel, lines of the raw event export",
        "https://docs.mixpanel.com/reference/raw-event-export",
    ),
    "posthog": (
        "PostHog, batch export of events, JSON lines or Parquet",
        "https://posthog.com/docs/data-pipelines/batch-exports/s3",
    ),
    "snowplow": (
        "Snowplow, enriched events as JSON",
        "https://docs.snowplow.io/docs/api-reference/snowbridge/configuration/transformations/builtin/spenrichedtojson",
    ),
    "snowplow-tsv": (
        "Snowplow, enriched events as the pipeline writes them: tab-separated, 131 columns",
        "https://docs.snowplow.io/docs/fundamentals/canonical-event/",
    ),
    "ga4": (
        "Google Analytics 4 and Firebase, tables of BigQuery extracted as JSON or Parquet",
        "https://support.google.com/analytics/answer/7029846",
    ),
    "application-insights": (
        "Application Insights, diagnostic settings to storage",
        "https://learn.microsoft.com/azure/azure-monitor/reference/tables/appevents",
    ),
    "countly": (
        "Countly, documents of `drill_events` as JSON",
        "https://support.countly.com/hc/en-us/articles/15831152190748-countly-dril-drill-events",
    ),
    "event-hubs-capture": (
        "Event Hubs Capture, Avro with JSON bodies of the declared names",
        "https://learn.microsoft.com/azure/event-hubs/event-hubs-capture-overview",
    ),
}
"""What each preset reads, and the page that documents the shape."""
