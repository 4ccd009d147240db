"""The accounts: keyless and closed, and everything that the code names is there with its lifecycle."""

from datetime import timedelta
from typing import Any

from bicep_compiler import ROOT, last_names, of_type

from mobexport import blob_paths, storage
from mobexport.settings import MAX_SAS_LIFETIME, Settings
from mobexport.targets import QueueTarget

ACCOUNT = "Microsoft.Storage/storageAccounts"
# Of docs/data-layout.md: prefix → days; what is in no rule is kept.
KEPT_DAYS = {"landing-": 8, "work-": 8, "exports/": 30, "rejects/": 90, "deadletter/": 30}


def _values(suffix: str) -> set[str]:
    named = {**vars(storage), **vars(blob_paths)}
    return {value for name, value in named.items() if name.endswith(suffix) and isinstance(value, str)}


def test_storage_accounts_are_keyless_closed_and_encrypted_in_transit(
    deployed: dict[str, Any],
) -> None:
    accounts = of_type(deployed, ACCOUNT)
    assert sorted(item["name"][:6] for item in accounts) == ["stdata", "sthost"]
    for item in accounts:
        properties = item["properties"]
        assert properties["allowSharedKeyAccess"] is False
        assert properties["allowBlobPublicAccess"] is False
        assert properties["allowCrossTenantReplication"] is False
        assert properties["defaultToOAuthAuthentication"] is True
        assert properties["supportsHttpsTrafficOnly"] is True
        assert properties["minimumTlsVersion"] == "TLS1_2"
        # Event Grid reads and writes the data account as a trusted service.
        assert properties["networkAcls"]["bypass"] == "AzureServices"
        assert item["kind"] == "StorageV2"
    for container in of_type(deployed, f"{ACCOUNT}/blobServices/containers"):
        assert container["properties"]["publicAccess"] == "None"


def test_containers_tables_and_queues_of_the_code_are_deployed(
    deployed: dict[str, Any],
) -> None:
    containers = last_names(deployed, f"{ACCOUNT}/blobServices/containers", "stdata")
    raw = Settings.model_fields["raw_container"].default
    assert containers == {raw, "deadletter", *_values("_CONTAINER")}
    assert last_names(deployed, f"{ACCOUNT}/tableServices/tables", "stdata") == _values("_TABLE")
    queues = last_names(deployed, f"{ACCOUNT}/queueServices/queues", "stdata")
    assert queues == {QueueTarget.model_fields["queue"].default}


def test_lifecycle_policy_is_the_table_of_the_docs(
    deployed: dict[str, Any],
) -> None:
    (policy,) = of_type(deployed, f"{ACCOUNT}/managementPolicies")
    assert policy["name"].startswith("stdata")
    days: dict[str, int] = {}
    for rule in policy["properties"]["policy"]["rules"]:
        assert rule["enabled"] is True
        age = rule["definition"]["actions"]["baseBlob"]["delete"]["daysAfterCreationGreaterThan"]
        days |= dict.fromkeys(rule["definition"]["filters"]["prefixMatch"], age)
    assert days == KEPT_DAYS


def test_landing_container_outlives_the_longest_export() -> None:
    assert timedelta(days=KEPT_DAYS["landing-"]) > MAX_SAS_LIFETIME + timedelta(days=1)


def test_docs_say_how_long_the_lifecycle_keeps_data() -> None:
    text = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    for prefix, days in KEPT_DAYS.items():
        name = f"{prefix}*" if prefix.endswith("-") else prefix.rstrip("/")
        assert f"| `{name}` | {days} days" in text, prefix
