"""Who may do what: the role assignments are exactly those of this table, no more and no less."""

import re
from typing import Any

from bicep_compiler import of_type

# "Azure built-in roles" in the documentation of Azure role-based access control.
ROLES = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": "Storage Queue Data Contributor",
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": "Key Vault Secrets Officer",
}
EXPECTED = {
    ("app", "Storage Blob Data Owner", "sthost"),
    ("app", "Storage Queue Data Contributor", "sthost"),
    ("app", "Storage Table Data Contributor", "sthost"),
    ("app", "Storage Blob Data Contributor", "stdata"),
    ("app", "Storage Queue Data Contributor", "stdata"),
    ("app", "Storage Table Data Contributor", "stdata"),
    ("app", "Monitoring Metrics Publisher", "appi-mobexport-"),
    ("app", "Key Vault Secrets User", "kv-"),
    ("topic", "Storage Blob Data Contributor", "deadletter"),
    ("deployer", "Key Vault Secrets Officer", "kv-"),
}


def _principal(text: str) -> str:
    if text == "[deployer().objectId]":
        return "deployer"
    if re.search(r"userAssignedIdentities/id-mobexport-\w+', '[\d-]+'\)\.principalId\]$", text):
        return "app"
    if re.search(r"systemTopics/evgt-mobexport-\w+', .*\)\.identity\.principalId\]$", text):
        return "topic"
    return text


def _scope(resource_id: str) -> str:
    plain = re.sub(r"^\[extensionResourceId\('([^']*)'.*", r"\1", resource_id)
    name = plain.split("/providers/Microsoft.Authorization/")[0].rsplit("/", 1)[-1]
    return re.sub(r"[a-z0-9]{13}$", "", name)


def test_given_a_deployment_then_its_roles_are_those_of_the_table(
    deployed: dict[str, Any],
) -> None:
    assignments = of_type(deployed, "Microsoft.Authorization/roleAssignments")
    found = [
        (
            _principal(item["properties"]["principalId"]),
            ROLES.get(item["properties"]["roleDefinitionId"].rsplit("/", 1)[-1], "unknown role"),
            _scope(item["id"]),
        )
        for item in assignments
    ]
    assert set(found) == EXPECTED
    assert len(found) == len(EXPECTED)


def test_role_assignments_cannot_be_delayed_by_a_directory_lookup(
    deployed: dict[str, Any],
) -> None:
    for item in of_type(deployed, "Microsoft.Authorization/roleAssignments"):
        if _principal(item["properties"]["principalId"]) == "deployer":
            # A person or a pipeline's service principal: Azure looks which; both are there for long.
            assert "principalType" not in item["properties"]
            continue
        assert item["properties"]["principalType"] == "ServicePrincipal"
        # A name that depends on a runtime value cannot be evaluated, nor be the same the next time.
        assert re.fullmatch(r"[0-9a-f-]{36}", item["name"])
