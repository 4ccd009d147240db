"""Options that are off by default: private network, zones, safeguards, people's roles; alone and together."""

import itertools
import re
from datetime import timedelta
from typing import Any

import pytest
from bicep_compiler import MAIN, ROOT, TENANT, Bicep, of_type

from mobexport.settings import MAX_SAS_LIFETIME
from mobexport.storage import EXPORTS_TABLE

ACCOUNT = "Microsoft.Storage/storageAccounts"
CONFIG = "Microsoft.Web/sites/config"
NETWORKS = {
    "open": {},
    "closed": {"PRIVATE_NETWORK": "true"},
    "listed": {"PRIVATE_NETWORK": "true", "ALLOWED_IP_RANGES": "203.0.113.0/24, 198.51.100.7"},
}
SAFEGUARDS = {
    "RESOURCE_LOCKS": {"RESOURCE_LOCKS": "true"},
    "DIAGNOSTICS": {"DIAGNOSTICS": "true"},
    "MONTHLY_BUDGET": {"MONTHLY_BUDGET": "100", "BUDGET_START": "2026-12-01"},
    "SAS_POLICY": {"SAS_POLICY": "true"},
    "COPY_SCOPE": {"COPY_SCOPE": "AAD"},
    "ZONE_REDUNDANT": {"ZONE_REDUNDANT": "true"},
}
PEOPLE = {
    "OPERATORS": "00000000-0000-0000-0000-0000000000a1",
    "ANALYSTS": "00000000-0000-0000-0000-0000000000b1, 00000000-0000-0000-0000-0000000000b2",
    "COLLECTORS": "00000000-0000-0000-0000-0000000000c1",
}
ALL = {name: value for option in SAFEGUARDS.values() for name, value in option.items()}
MORE = ({}, ALL, {**ALL, **PEOPLE, "COPY_SCOPE": "PrivateLink"})


def deploy(bicep: Bicep, **env: str) -> dict[str, Any]:
    """The snapshot of main.bicepparam with these variables; the compiler must be silent."""
    snapshot = bicep.snapshot("main.bicepparam", {**MAIN, **env})
    assert snapshot["diagnostics"] == []
    return snapshot


def kinds(snapshot: dict[str, Any]) -> set[str]:
    """The types of its resources."""
    return {item["type"] for item in snapshot["predictedResources"]}


@pytest.mark.parametrize(
    ("network", "tier", "more"),
    list(itertools.product(NETWORKS, ("dev", "prod"), MORE)),
    ids=lambda value: value if isinstance(value, str) else f"{len(value)}-more",
)
def test_every_combination_compiles_in_silence(
    bicep: Bicep, network: str, tier: str, more: dict[str, str]
) -> None:
    snapshot = deploy(bicep, **NETWORKS[network], MOBEXPORT_TIER=tier, **more)
    ids = [item["id"] for item in snapshot["predictedResources"]]
    assert len(ids) == len(set(ids))


def test_docs_register_each_provider_that_the_templates_need(bicep: Bicep) -> None:
    page = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    (named,) = re.findall(r"for p in ([\w\s]+); do az provider register", page)
    needed = {kind.split("/")[0] for kind in kinds(deploy(bicep, **NETWORKS["closed"], **ALL, **PEOPLE))}
    # Both are there in every subscription. App: the subnet of Flex Consumption belongs to it.
    needed = (needed | {"Microsoft.App"}) - {"Microsoft.Authorization", "Microsoft.Resources"}
    assert {f"Microsoft.{name}" for name in named.split()} == needed


@pytest.mark.parametrize(
    ("option", "adds"),
    [
        ("RESOURCE_LOCKS", {"Microsoft.Authorization/locks"}),
        ("DIAGNOSTICS", {"Microsoft.Insights/diagnosticSettings"}),
        ("MONTHLY_BUDGET", {"Microsoft.Consumption/budgets"}),
        ("SAS_POLICY", set()),
        ("COPY_SCOPE", set()),
        ("ZONE_REDUNDANT", set()),
    ],
)
def test_an_option_adds_what_it_says_and_nothing_else(bicep: Bicep, option: str, adds: set[str]) -> None:
    base, more = deploy(bicep), deploy(bicep, **SAFEGUARDS[option])
    assert kinds(more) - kinds(base) == adds
    assert base != more


@pytest.mark.parametrize(
    "flag",
    ["PRIVATE_NETWORK", "ZONE_REDUNDANT", "RESOURCE_LOCKS", "DIAGNOSTICS", "SAS_POLICY", "RECOVER_VAULT"],
)
def test_a_flag_that_is_no_truth_value_is_refused(bicep: Bicep, flag: str) -> None:
    # An option that guards must not be off because somebody wrote "yes".
    done = bicep.call("build-params", "infra/main.bicepparam", "--stdout", env={**MAIN, flag: "yes"})
    assert (done.returncode, "bool" in done.stderr) == (1, True)


# --- network --------------------------------------------------------------------------------------------


def test_open_network_has_no_network(bicep: Bicep) -> None:
    snapshot = deploy(bicep)
    assert not [kind for kind in kinds(snapshot) if kind.startswith("Microsoft.Network/")]
    (app,) = of_type(snapshot, "Microsoft.Web/sites")
    assert app["properties"]["virtualNetworkSubnetId"] is None
    assert app["properties"]["siteConfig"]["ipSecurityRestrictionsDefaultAction"] == "Allow"


def test_closed_network_leaves_no_public_way_to_data_and_secrets(bicep: Bicep) -> None:
    snapshot = deploy(bicep, **NETWORKS["closed"])
    guarded = [*of_type(snapshot, ACCOUNT), *of_type(snapshot, "Microsoft.KeyVault/vaults")]
    assert len(guarded) == 3
    for item in guarded:
        assert item["properties"]["publicNetworkAccess"] == "Disabled"
        # Event Grid makes its topic and writes dead letters as a trusted service.
        assert item["properties"]["networkAcls"] == {
            "bypass": "AzureServices",
            "defaultAction": "Deny",
            "ipRules": [],
        }


def test_closed_network_admits_event_grid_to_the_app(bicep: Bicep) -> None:
    (app,) = of_type(deploy(bicep, **NETWORKS["closed"]), "Microsoft.Web/sites")
    site = app["properties"]["siteConfig"]
    assert app["properties"]["publicNetworkAccess"] == "Enabled"
    assert site["ipSecurityRestrictionsDefaultAction"] == "Deny"
    (only,) = site["ipSecurityRestrictions"]
    assert (only["tag"], only["ipAddress"], only["action"]) == ("ServiceTag", "AzureEventGrid", "Allow")
    # Deployments come by the other site, with tokens.
    assert site["scmIpSecurityRestrictionsDefaultAction"] == "Allow"
    assert site["scmIpSecurityRestrictionsUseMain"] is False


def test_listed_addresses_reach_accounts_vault_and_app(bicep: Bicep) -> None:
    snapshot = deploy(bicep, **NETWORKS["listed"])
    for item in (*of_type(snapshot, ACCOUNT), *of_type(snapshot, "Microsoft.KeyVault/vaults")):
        acls = item["properties"]["networkAcls"]
        assert (item["properties"]["publicNetworkAccess"], acls["defaultAction"]) == ("Enabled", "Deny")
        assert [rule["value"] for rule in acls["ipRules"]] == ["203.0.113.0/24", "198.51.100.7"]
    (app,) = of_type(snapshot, "Microsoft.Web/sites")
    rules = app["properties"]["siteConfig"]["ipSecurityRestrictions"]
    assert [rule["ipAddress"] for rule in rules] == ["AzureEventGrid", "203.0.113.0/24", "198.51.100.7/32"]
    assert len({rule["priority"] for rule in rules}) == 3


def test_every_service_that_the_app_calls_has_an_endpoint_and_a_name(bicep: Bicep) -> None:
    snapshot = deploy(bicep, **NETWORKS["closed"])
    reached = set()
    for item in of_type(snapshot, "Microsoft.Network/privateEndpoints"):
        (connection,) = item["properties"]["privateLinkServiceConnections"]
        target = connection["properties"]["privateLinkServiceId"].rsplit("/", 1)[1]
        reached.add((re.sub(r"-?[a-z0-9]{13}$", "", target), *connection["properties"]["groupIds"]))
        assert item["properties"]["subnet"]["id"].endswith("/subnets/endpoints")
    services = {(name, part) for name in ("sthost", "stdata") for part in ("blob", "queue", "table")}
    # The app calls its own Export API by its public name.
    assert reached == services | {("kv", "vault"), ("func-mobexport", "sites")}
    groups = of_type(snapshot, "Microsoft.Network/privateEndpoints/privateDnsZoneGroups")
    links = of_type(snapshot, "Microsoft.Network/privateDnsZones/virtualNetworkLinks")
    assert (len(groups), len(links)) == (8, len(of_type(snapshot, "Microsoft.Network/privateDnsZones")))
    (network,) = of_type(snapshot, "Microsoft.Network/virtualNetworks")
    assert all(link["properties"]["virtualNetwork"]["id"] == network["id"] for link in links)


def test_subnet_of_the_app_is_delegated_and_large_enough(bicep: Bicep) -> None:
    (network,) = of_type(deploy(bicep, **NETWORKS["closed"]), "Microsoft.Network/virtualNetworks")
    app, endpoints = network["properties"]["subnets"]
    assert (app["name"], endpoints["name"]) == ("app", "endpoints")
    assert app["properties"]["delegations"][0]["properties"] == {"serviceName": "Microsoft.App/environments"}
    # Flex Consumption takes some 40 addresses, and refuses names with an underscore.
    assert (app["properties"]["addressPrefix"], "_" in app["name"]) == ("10.42.0.0/25", False)
    assert endpoints["properties"]["addressPrefix"] == "10.42.0.128/25"


# --- safeguards -----------------------------------------------------------------------------------------


def test_zone_redundancy_has_two_ready_instances(bicep: Bicep) -> None:
    snapshot = deploy(bicep, MOBEXPORT_TIER="prod", ZONE_REDUNDANT="true")
    (plan,) = of_type(snapshot, "Microsoft.Web/serverfarms")
    (app,) = of_type(snapshot, "Microsoft.Web/sites")
    assert plan["properties"]["zoneRedundant"] is True
    scale = app["properties"]["functionAppConfig"]["scaleAndConcurrency"]
    assert scale["alwaysReady"] == [{"name": "durable", "instanceCount": 2}]


def test_locks_keep_accounts_and_vault(bicep: Bicep) -> None:
    locks = of_type(deploy(bicep, RESOURCE_LOCKS="true"), "Microsoft.Authorization/locks")
    kept = {
        re.sub(r"-?\w{13}/providers/Micro.*", "", item["id"].rsplit("/providers/", 2)[1]) for item in locks
    }
    assert len(locks) == 3
    assert {item["properties"]["level"] for item in locks} == {"CanNotDelete"}
    assert {name.split("/")[1] for name in kept} == {"storageAccounts", "vaults"}


def test_sas_policy_lets_the_apps_own_sas_live(bicep: Bicep) -> None:
    accounts = of_type(deploy(bicep, SAS_POLICY="true"), ACCOUNT)
    (policy,) = (found for item in accounts if (found := item["properties"].get("sasPolicy")))
    assert policy == {"sasExpirationPeriod": "7.00:00:00", "expirationAction": "Block"}
    assert timedelta(days=7) > MAX_SAS_LIFETIME


def test_copy_scope_is_of_the_data_account(bicep: Bicep) -> None:
    accounts = of_type(deploy(bicep, COPY_SCOPE="AAD"), ACCOUNT)
    scopes = {item["name"][:6]: item["properties"].get("allowedCopyScope") for item in accounts}
    assert scopes == {"stdata": "AAD", "sthost": None}


def test_budget_tells_the_people_of_the_alerts(bicep: Bicep) -> None:
    snapshot = deploy(bicep, **SAFEGUARDS["MONTHLY_BUDGET"])
    (budget,) = of_type(snapshot, "Microsoft.Consumption/budgets")
    (group,) = of_type(snapshot, "Microsoft.Insights/actionGroups")
    assert budget["properties"]["timePeriod"] == {"startDate": "2026-12-01"}
    for told in budget["properties"]["notifications"].values():
        assert told["contactGroups"] == [group["id"]]


def test_diagnostics_audit_the_vault_deletions_and_deliveries(bicep: Bicep) -> None:
    settings = of_type(deploy(bicep, DIAGNOSTICS="true"), "Microsoft.Insights/diagnosticSettings")
    logs = {item["properties"]["logs"][0].get("category", "audit") for item in settings}
    assert logs == {"audit", "DeliveryFailures", "StorageDelete"}


# --- the status page ------------------------------------------------------------------------------------

PAGE = "44444444-4444-4444-4444-444444444444"


def test_status_page_signs_in_and_lets_other_calls_pass(bicep: Bicep) -> None:
    snapshot = deploy(bicep, STATUS_PAGE_CLIENT_ID=PAGE)
    configs = {item["name"].rsplit("/", 1)[1]: item["properties"] for item in of_type(snapshot, CONFIG)}
    found = configs["authsettingsV2"]
    assert found["platform"] == {"enabled": True}
    assert found["globalValidation"] == {
        "requireAuthentication": False,
        "unauthenticatedClientAction": "AllowAnonymous",
    }
    directory = found["identityProviders"]["azureActiveDirectory"]
    assert directory["registration"]["clientId"] == PAGE
    issuer = directory["registration"]["openIdIssuer"]
    assert issuer == f"[format('{{0}}{{1}}/v2.0', environment().authentication.loginEndpoint, '{TENANT}')]"
    # Callers of the Export API send their tokens through it.
    settings = configs["appsettings"]
    assert directory["validation"]["allowedAudiences"] == [
        PAGE,
        *settings["EXPORT_API_AUDIENCE"].split(","),
    ]
    assert (settings["PAGE_AUTH"], settings["PAGE_CLIENT_ID"]) == ("easy-auth", PAGE)
    # No client secret: the app's identity signs.
    name = directory["registration"]["clientSecretSettingName"]
    assert settings[name] == settings["AZURE_CLIENT_ID"]


def test_without_a_status_page_there_is_no_authentication_in_front(bicep: Bicep) -> None:
    snapshot = deploy(bicep)
    names = [item["name"].rsplit("/", 1)[1] for item in of_type(snapshot, CONFIG)]
    assert names == ["appsettings"]
    (config,) = of_type(snapshot, CONFIG)
    assert config["properties"]["PAGE_AUTH"] == "off"


def test_status_page_client_id_that_is_none_is_refused(bicep: Bicep) -> None:
    env = {**MAIN, "STATUS_PAGE_CLIENT_ID": "yes"}
    done = bicep.call("snapshot", "infra/main.bicepparam", env=env)
    assert "STATUS_PAGE_CLIENT_ID" in done.stdout + done.stderr
    assert done.returncode == 1


# --- people ---------------------------------------------------------------------------------------------

# "Azure built-in roles" in the documentation of Azure role-based access control.
ROLES = {
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": "Storage Blob Data Reader",
    "76199698-9eea-4c19-bc75-cec21354c6b6": "Storage Table Data Reader",
    "73c42c96-874c-492b-b04d-ab87d138a893": "Log Analytics Reader",
    "de139f84-1756-47ae-9be6-808fbbe84772": "Website Contributor",
}
EXPECTED = {
    ("a1", "Website Contributor", "func-mobexport"),
    ("a1", "Storage Table Data Reader", EXPORTS_TABLE),
    ("a1", "Storage Table Data Reader", "exporttasks"),
    ("a1", "Log Analytics Reader", "log-mobexport"),
    ("b1", "Storage Blob Data Reader", "curated"),
    ("b2", "Storage Blob Data Reader", "curated"),
    ("c1", "Storage Blob Data Contributor", "telemetry"),
}


def test_people_get_these_roles_and_no_others(bicep: Bicep) -> None:
    base = of_type(deploy(bicep, RAW_CONTAINER="telemetry"), "Microsoft.Authorization/roleAssignments")
    more = of_type(
        deploy(bicep, RAW_CONTAINER="telemetry", **PEOPLE), "Microsoft.Authorization/roleAssignments"
    )
    known = {item["id"] for item in base}
    found = {
        (
            item["properties"]["principalId"][-2:],
            ROLES.get(item["properties"]["roleDefinitionId"].rsplit("/", 1)[-1], "unknown role"),
            re.sub(
                r"-[a-z0-9]{13}$",
                "",
                item["id"].split("/providers/Microsoft.Authorization/")[0].rsplit("/", 1)[-1],
            ),
        )
        for item in more
        if item["id"] not in known
    }
    assert found == EXPECTED
    assert len(more) - len(base) == len(EXPECTED)
    page = (ROOT / "docs" / "security.md").read_text("utf-8")
    for role in {role for _, role, _ in EXPECTED}:
        assert role in page
