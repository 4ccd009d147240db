"""Azure as far as a deployment meets it: one file of state, a clock that only waiting moves, and refusals.

Sources of the refusals: the issues and pages that the comments name. Times are pessimistic guesses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

ROLE_SECONDS: Final = 80
"""After which a role assignment counts (azure-dev #8026: about a minute)."""
APP_STORAGE_SECONDS: Final = 200
"""The same for the app's roles on storage: that other roles count says nothing about them."""
DIRECTORY_SECONDS: Final = 12
"""After which the directory finds what was made in it."""
INDEX_SECONDS: Final = 40
"""After which the host has loaded new code and lists its functions."""
DEPLOYMENT_SECONDS: Final = 180

BLOB_OWNER: Final = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"
BLOB_CONTRIBUTOR: Final = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
QUEUE_CONTRIBUTOR: Final = "974c5e8b-45b9-4653-ba55-5f855dd0fb88"
TABLE_CONTRIBUTOR: Final = "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3"
SECRETS_USER: Final = "4633458b-17de-408a-b874-0445c86b69e6"
SECRETS_OFFICER: Final = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
APP: Final = "userAssignedIdentities/"
TOPIC: Final = "systemTopics/"

_NAMES: Final = {
    "Microsoft.Storage/storageAccounts": r"[a-z0-9]{3,24}",
    "Microsoft.KeyVault/vaults": r"[A-Za-z](?!.*--)[A-Za-z0-9-]{1,22}[A-Za-z0-9]",
    "Microsoft.Web/sites": r"[A-Za-z0-9][A-Za-z0-9-]{0,58}[A-Za-z0-9]",
    "Microsoft.Resources/resourceGroups": r"[-\w.()]{0,89}[-\w()]",
    "Microsoft.EventGrid/systemTopics": r"[A-Za-z0-9-]{3,128}",
    "Microsoft.Insights/actionGroups": r".{1,260}",
}
_RIGHTS: Final = {
    "write": "Contributor",
    "assign": "Role Based Access Control Administrator",
    "directory": "app registrations",
    "lock": "Owner",
}
_REFERENCE: Final = re.compile(r"@Microsoft\.KeyVault\(VaultName=(.+?);SecretName=(.+?)\)")


class Refused(Exception):
    """What Azure says no to: its code, then its message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"({code}) {message}")


class Cloud:
    """The state, loaded from a file and kept there by `save`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data: dict[str, Any] = json.loads(path.read_text("utf-8"))

    @classmethod
    def new(cls, path: Path, **given: Any) -> Cloud:
        """An empty Azure. `given`: other values of the state, such as the deployer's `rights`, `faults`."""
        start = {
            "clock": 0,
            "deployer": "44444444-4444-4444-4444-444444444444",
            "kind": "User",
            "rights": ["write", "assign", "directory"],
            "subscription": "11111111-0000-0000-0000-000000000000",
            "line_end": "\n",
            "faults": [],
            "resources": {},
            "deleted_vaults": {},
            "secrets": {},
            "applications": {},
            "principals": {},
            "packages": {},
            "woken": {},
            "resolved": {},
            "step": "",
            "needs": {},
            "makes": {},
            "calls": [],
        }
        path.write_text(json.dumps({**start, **given}), "utf-8")
        return cls(path)

    def save(self) -> None:
        """Keeps the state."""
        self.path.write_text(json.dumps(self.data, indent=1), "utf-8")

    @property
    def clock(self) -> int:
        """Seconds since the beginning."""
        return int(self.data["clock"])

    def wait(self, seconds: float) -> None:
        """Time goes on."""
        self.data["clock"] += seconds

    def begin(self, step: str) -> None:
        """What follows is counted for this step."""
        self.data["step"] = step

    def make(self, what: str) -> None:
        """Notes that the present step made something."""
        self.data["makes"].setdefault(self.data["step"], []).append(what)

    def need(self, right: str) -> None:
        """The deployer's right, or what must count by now, is needed by the present step."""
        needs = self.data["needs"].setdefault(self.data["step"], [])
        if _RIGHTS.get(right, right) not in needs:
            needs.append(_RIGHTS.get(right, right))
        if right in _RIGHTS and right not in self.data["rights"]:
            raise Refused("AuthorizationFailed", f"The client does not have authorization: {_RIGHTS[right]}")

    def fault(self, where: str) -> None:
        """Fails where a scenario wants it, as often as it says."""
        for fault in self.data["faults"]:
            if fault["at"] in where and fault["times"] > 0:
                fault["times"] -= 1
                raise Refused(fault["code"], "as the scenario wants it")

    # --- the resource manager -------------------------------------------------------------------------

    def deploy(self, subscription: str, resources: Iterable[Mapping[str, Any]]) -> None:
        """A template's resources, one after the other; what was made before one is refused stays."""
        self.need("write")
        self.wait(DEPLOYMENT_SECONDS)
        for resource in resources:
            who = self.data["deployer"]
            text = json.dumps(resource).replace("[deployer().objectId]", who)
            text = text.replace("deployer().objectId", who)
            self._put(subscription, json.loads(text))

    def _put(self, subscription: str, new: dict[str, Any]) -> None:
        kind, name = new["type"], new["name"]
        self.fault(f"{kind}/{name}")
        key = f"{subscription}{new['id']}"
        old = self.data["resources"].get(key)
        if kind in _NAMES and not re.fullmatch(_NAMES[kind], name):
            raise Refused("InvalidResourceName", f"{kind} cannot be called {name!r}")
        check = _CHECKS.get(kind)
        if check is not None:
            check(self, new, old)
        if old is None:
            self.make(kind)
        self.data["resources"][key] = {**new, "at": self.clock if old is None else old["at"]}
        changed = old is None or old.get("properties") != new.get("properties")
        if kind == "Microsoft.Web/sites/config" and changed:
            # The platform reads the vault; after an equal configuration it does not.
            self.read_vault(name.split("/")[0])

    def find(self, kind: str, name: str = "") -> dict[str, Any] | None:
        """The resource of this type, and name if given."""
        found = [
            item
            for item in self.data["resources"].values()
            if item["type"] == kind and name in ("", item["name"])
        ]
        return found[0] if found else None

    def counts(self, principal: str, role: str, scope: str) -> bool:
        """Whether somebody (part of the principal's text) has the role on a scope (part of its id) by now."""
        seconds = APP_STORAGE_SECONDS if principal == APP and "storage" in scope else ROLE_SECONDS
        return any(
            item["type"] == "Microsoft.Authorization/roleAssignments"
            and principal in item["properties"]["principalId"]
            and item["properties"]["roleDefinitionId"].endswith(role)
            and scope in item["id"]
            and self.clock >= item["at"] + seconds
            for item in self.data["resources"].values()
        )

    def delete_group(self, subscription: str, group: str, *, purge: bool) -> None:
        """`azd down`: everything in the group goes, the vault stays deleted for a while."""
        inside = f"{subscription}/subscriptions/{subscription}/resourceGroups/{group}"
        keys = [key for key in self.data["resources"] if key.lower().startswith(inside.lower())]
        locked = [key for key in keys if "/Microsoft.Authorization/locks/" in key]
        if locked:
            raise Refused("ScopeLocked", f"cannot perform delete operation because of locks: {locked}")
        for key in keys:
            item = self.data["resources"].pop(key)
            if item["type"] == "Microsoft.KeyVault/vaults":
                self.data["deleted_vaults"][item["name"]] = item
        self.data["packages"], self.data["woken"], self.data["resolved"] = {}, {}, {}
        if purge:
            for name in list(self.data["deleted_vaults"]):
                self.purge(name)

    def purge(self, vault: str) -> None:
        """Deletes a deleted vault for good."""
        if self.data["deleted_vaults"][vault]["properties"].get("enablePurgeProtection"):
            raise Refused("MethodNotAllowed", f"Operation 'DeletedVaultPurge' is not allowed: {vault}")
        del self.data["deleted_vaults"][vault]
        self.data["secrets"].pop(vault, None)

    # --- vault ----------------------------------------------------------------------------------------

    def open_vault(self, vault: str) -> dict[str, Any]:
        """Its secrets, for the deployer. Raises Refused until the role counts."""
        self.need("Key Vault Secrets Officer")
        found = self.find("Microsoft.KeyVault/vaults", vault)
        if found and found["properties"]["publicNetworkAccess"] == "Disabled":
            raise Refused("ForbiddenByConnection", "Public network access is disabled.")
        if not self.counts(self.data["deployer"], SECRETS_OFFICER, vault):
            raise Refused("Forbidden", "Caller is not authorized to perform action on resource.")
        kept: dict[str, Any] = self.data["secrets"].setdefault(vault, {})
        return kept

    def read_vault(self, site: str) -> None:
        """The platform reads what the settings of the app refer to, as far as it may."""
        may = self.counts(APP, SECRETS_USER, "Microsoft.KeyVault/vaults")
        self.data["resolved"][site] = [
            setting
            for setting, (vault, secret) in self._references(site).items()
            if may and secret in self.data["secrets"].get(vault, {})
        ]

    def references(self, site: str) -> dict[str, str]:
        """Setting → `Resolved`, or what is wrong."""
        good = self.data["resolved"].get(site, [])
        return {name: "Resolved" if name in good else "SecretNotFound" for name in self._references(site)}

    def _references(self, site: str) -> dict[str, tuple[str, str]]:
        config = self.find("Microsoft.Web/sites/config", f"{site}/appsettings")
        values = config["properties"] if config else {}
        matches = {name: _REFERENCE.fullmatch(str(value)) for name, value in values.items()}
        return {name: (match[1], match[2]) for name, match in matches.items() if match}

    # --- app ------------------------------------------------------------------------------------------

    def publish(self, site: str, functions: list[str]) -> None:
        """Takes a package with these functions. Raises Refused until the app may write to its container."""
        self.need("Storage Blob Data Owner of the app")
        self.wait(60)
        self.fault("package")
        if not self.counts(APP, BLOB_OWNER, "storageAccounts/sthost"):
            raise Refused("BlobUploadFailedException", "This request is not authorized (403).")
        self.make("package")
        self.data["packages"][site] = {"at": self.clock, "functions": functions}

    def functions(self, site: str) -> list[str]:
        """Those that the host lists: none while it loads, or cannot read its storage."""
        package = self.data["packages"].get(site)
        if package is None or self.clock < package["at"] + INDEX_SECONDS:
            return []
        roles = (BLOB_OWNER, QUEUE_CONTRIBUTOR, TABLE_CONTRIBUTOR)
        good = all(self.counts(APP, role, "storageAccounts/sthost") for role in roles)
        return package["functions"] if good else []

    def wake(self) -> None:
        """Somebody calls the apps: from then on their hosts run, and have a key for blob functions."""
        for site in self.data["packages"]:
            if self.functions(site):
                self.data["woken"].setdefault(site, self.clock)

    def subscribe(self, site: str, resource: dict[str, Any], subscription: str) -> None:
        """Makes an Event Grid subscription: calls the function, and writes to the dead-letter container."""
        self.need("write")
        self.need("Storage Blob Data Contributor of the topic")
        if site not in self.data["woken"]:
            raise Refused(
                "InvalidTemplate", "The language expression property 'blobs_extension' doesn't exist."
            )
        if self.clock < self.data["woken"][site] + 20:
            raise Refused("Url validation", f"https://{site}/runtime/webhooks/blobs?code=HIDDEN timed out")
        if not self.counts(TOPIC, BLOB_CONTRIBUTOR, "deadletter"):
            raise Refused("DeadLetterUnauthorized", "The identity cannot write to the container.")
        self._put(subscription, resource)


# --- what is refused, by type ---------------------------------------------------------------------------


def _storage(_: Cloud, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> None:
    # terraform-provider-azurerm #6526; azure-docs, redundancy-migration.md.
    if old and old["sku"] != new["sku"]:
        raise Refused(
            "StorageAccountTypeConversionNotAllowed",
            f"{new['name']} cannot change from {old['sku']['name']} to {new['sku']['name']}",
        )


def _vault(cloud: Cloud, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> None:
    properties, name = new["properties"], new["name"]
    deleted = cloud.data["deleted_vaults"]
    if properties.get("enablePurgeProtection") is False:
        raise Refused("BadRequest", 'The property "enablePurgeProtection" cannot be set to false.')
    # azure-docs #110047
    if old and old["properties"]["softDeleteRetentionInDays"] != properties["softDeleteRetentionInDays"]:
        raise Refused("BadRequest", 'The property "softDeleteRetentionInDays" can\'t be modified.')
    if properties.get("createMode") == "recover":
        if name not in deleted and old is None:
            raise Refused("VaultNotFound", f"There is no deleted vault {name} to recover.")
        deleted.pop(name, None)
    elif name in deleted:
        raise Refused("ConflictError", f"A vault with the name {name} already exists in deleted state.")


def _role(cloud: Cloud, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> None:
    cloud.need("assign")
    principal = new["properties"]["principalId"]
    # A principal that the same template makes is not found yet, unless its type is given.
    if old is None and principal.startswith("[") and "principalType" not in new["properties"]:
        raise Refused("PrincipalNotFound", f"Principal {principal} does not exist in the directory.")


def _budget(_: Cloud, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> None:
    # azure-docs, quick-create-budget-bicep.md.
    begins = new["properties"]["timePeriod"]["startDate"]
    if not begins.endswith("-01") or (old and old["properties"]["timePeriod"]["startDate"] != begins):
        raise Refused("BadRequest", f"Start date {begins}: must be the first of a month, and never changes.")


def _lock(cloud: Cloud, _: Mapping[str, Any], __: Mapping[str, Any] | None) -> None:
    cloud.need("lock")


def _site(cloud: Cloud, _: Mapping[str, Any], __: Mapping[str, Any] | None) -> None:
    if cloud.find("Microsoft.Storage/storageAccounts/blobServices/containers") is None:
        raise Refused("BadRequest", "The container of the deployment package does not exist.")


_CHECKS: Final = {
    "Microsoft.Storage/storageAccounts": _storage,
    "Microsoft.KeyVault/vaults": _vault,
    "Microsoft.Authorization/locks": _lock,
    "Microsoft.Authorization/roleAssignments": _role,
    "Microsoft.Consumption/budgets": _budget,
    "Microsoft.Web/sites": _site,
}
