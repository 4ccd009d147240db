"""What must never stand in a compiled template: secrets, keys, open doors."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from bicep_compiler import Bicep, of_type

KEYS = re.compile(r"\blist(Keys|AccountSas|ServiceSas|Secrets|\w*Credentials?)\b", re.IGNORECASE)
SECRET_NAME = re.compile(r"(?i)password|secret|token|key|connectionstring|sas$")
# Names of settings and of a vault: what they name is secret, they are not.
HARMLESS = {
    "secretSettings",
    "SECRET_SETTINGS",
    "KEY_VAULT_NAME",
    "appInsightsConnectionString",
    "connectionString",
}


def _walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield from _walk(inner, f"{path}/{name}")


def _templates(template: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for _, value in _walk(template):
        if isinstance(value, dict) and "$schema" in value and "resources" in value:
            yield value


@pytest.fixture(scope="module", params=["main", "eventgrid"])
def template(bicep: Bicep, request: pytest.FixtureRequest) -> dict[str, Any]:
    return bicep.compiled(request.param)


def test_given_a_template_then_only_the_event_grid_webhook_lists_keys(
    template: dict[str, Any],
) -> None:
    found = [path for path, text in _walk(template) if isinstance(text, str) and KEYS.search(text)]
    assert all(path.endswith("/endpointUrl") for path in found), found
    assert len(found) == (0 if "subscription" in template["$schema"] else 1)


def test_given_a_template_then_no_parameter_or_output_is_a_secret(
    template: dict[str, Any],
) -> None:
    for inner in _templates(template):
        named = {**inner.get("parameters", {}), **inner.get("outputs", {})}
        assert not {name for name in named if SECRET_NAME.search(name)} - HARMLESS
        assert not {name for name, item in named.items() if item.get("type", "").startswith("secure")}


def test_given_a_template_then_no_wildcard_origin_and_no_password(
    template: dict[str, Any],
) -> None:
    for path, value in _walk(template):
        name = path.rsplit("/", 1)[-1].lower()
        assert name not in {"cors", "allowedorigins", "accountkey", "adminpassword"}, path
        if isinstance(value, str):
            assert "AccountKey=" not in value, path
            assert "SharedAccessSignature" not in value, path


def test_given_a_template_when_searched_then_every_parameter_is_used(template: dict[str, Any]) -> None:
    for inner in _templates(template):
        body = str({name: part for name, part in inner.items() if name not in ("parameters", "metadata")})
        unused = {name for name in inner.get("parameters", {}) if f"parameters('{name}')" not in body}
        assert not unused


def test_deployment_outputs_are_what_the_hooks_read(deployed: dict[str, Any]) -> None:
    assert set(deployed["outputs"]) == {
        "AZURE_RESOURCE_GROUP",
        "FUNCTION_APP_NAME",
        "FUNCTION_APP_URL",
        "DATA_STORAGE_ACCOUNT",
        "DEAD_LETTER_CONTAINER",
        "EVENT_GRID_TOPIC",
        "KEY_VAULT_NAME",
        "SECRET_SETTINGS",
        "APP_CLIENT_ID",
    }
    assert deployed["diagnostics"] == []


def test_alerts_each_reach_the_action_group(deployed: dict[str, Any]) -> None:
    (group,) = of_type(deployed, "Microsoft.Insights/actionGroups")
    assert [item["emailAddress"] for item in group["properties"]["emailReceivers"]] == ["ops@example.com"]
    logs = of_type(deployed, "Microsoft.Insights/scheduledQueryRules")
    metrics = of_type(deployed, "Microsoft.Insights/metricAlerts")
    assert len(logs) == 7
    for item in logs:
        assert item["properties"]["actions"]["actionGroups"] == [group["id"]]
        assert item["properties"]["skipQueryValidation"] is True
    for item in metrics:
        assert [action["actionGroupId"] for action in item["properties"]["actions"]] == [group["id"]]
        # FunctionExecutionCount and its like do not exist on Flex Consumption.
        names = {part["metricName"] for part in item["properties"]["criteria"]["allOf"]}
        assert names <= {"DeadLetteredCount", "Transactions"}
