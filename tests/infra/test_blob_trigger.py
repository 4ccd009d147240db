"""One blob trigger, told by Event Grid in Azure and by polling locally; both ends name the same things."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from bicep_compiler import ROOT

from mobexport.blob_paths import COMPLETE, COMPLETE_PATTERN, parse_complete_path
from mobexport.wire import AttemptRef

pytestmark = pytest.mark.long

Indexed = Callable[[str], list[dict[str, Any]]]


def _blob_functions(functions: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (function["name"], binding)
        for function in functions
        for binding in function["bindings"]
        if binding["type"] == "blobTrigger"
    ]


@pytest.mark.parametrize(
    ("environment", "source"),
    [("Development", "LogsAndContainerScan"), ("Production", "EventGrid"), ("Staging", "EventGrid")],
)
def test_given_an_environment_then_the_blob_trigger_has_its_source(
    indexed: Indexed, environment: str, source: str
) -> None:
    ((name, binding),) = _blob_functions(indexed(environment))
    assert (name, binding["source"], binding["connection"]) == ("exported_file", source, "DATA_STORAGE")
    assert binding["path"] == COMPLETE_PATTERN


def test_subscription_calls_the_function_that_is_indexed(
    indexed: Indexed, subscription: dict[str, Any]
) -> None:
    ((name, _),) = _blob_functions(indexed("Production"))
    url = subscription["destination"]["properties"]["endpointUrl"]
    assert "/runtime/webhooks/blobs?functionName=Host.Functions.{1}&code={2}" in url
    assert f".defaultHostName, '{name}', uriComponent(listKeys(" in url
    assert ".systemKeys.blobs_extension" in url
    assert f"BLOB_FUNCTION={name}\n" in (ROOT / "infra" / "hooks" / "eventgrid.sh").read_text("utf-8")


def _passes(subscription: dict[str, Any], container: str, blob: str) -> bool:
    subject = f"/blobServices/default/containers/{container}/blobs/{blob}"
    rules = subscription["filter"]
    return subject.startswith(rules["subjectBeginsWith"]) and subject.endswith(rules["subjectEndsWith"])


def test_event_filter_passes_what_the_trigger_matches_and_no_data(
    subscription: dict[str, Any],
) -> None:
    blob = "com.example.shop/Event/an-id/3/" + COMPLETE
    assert parse_complete_path(f"exports/{blob}") == AttemptRef("an-id", 3)
    container, _, pattern = COMPLETE_PATTERN.partition("/")
    assert re.fullmatch(re.sub(r"\{\w+\}", r"[^/]+", pattern), blob)
    assert _passes(subscription, container, blob)
    assert not _passes(subscription, container, "com.example.shop/Event/an-id/3/Event-1.json")
    assert not _passes(subscription, "exports-other", blob)
    assert not _passes(subscription, "curated", blob)
    assert subscription["filter"]["includedEventTypes"] == ["Microsoft.Storage.BlobCreated"]


def test_subscription_retries_for_a_day_and_keeps_what_fails(
    subscription: dict[str, Any],
) -> None:
    assert subscription["retryPolicy"] == {"maxDeliveryAttempts": 30, "eventTimeToLiveInMinutes": 1440}
    dead = subscription["deadLetterWithResourceIdentity"]
    assert dead["identity"] == {"type": "SystemAssigned"}
    assert dead["deadLetterDestination"]["properties"]["blobContainerName"] == "deadletter"
    assert subscription["eventDeliverySchema"] == "EventGridSchema"
