"""The whole deployment against doubles of `az` and `azd` that keep state and refuse what Azure refuses.

`make rehearse` runs these. They prove the order, the arguments and the waiting of our side; nothing of Azure.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from bicep_compiler import ROOT, Bicep
from rehearsal.cloud import Cloud, Refused
from rehearsal.stage import SUBSCRIPTION, Stage
from rehearsal.stage import staged as new_stage
from rehearsal.table import table

PAGE = (ROOT / "docs" / "deploy.md").read_text("utf-8")
VARIABLES = {
    "AZURE_LOCATION": "westeurope",
    "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION,
    "EXPORT_API_CLIENT_ID": "33333333-0000-0000-0000-000000000009",
    "EXPORTS_TOML": "[apps.shop]",
    "SMOKE_APP": "shop",
}
Staged = Callable[..., Stage]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Evaluated templates, for all scenarios of a process."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def stage_of(bicep: Bicep, tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Staged]:
    """Makes the stage of a scenario."""
    del bicep  # the doubles find the compiler themselves
    with ExitStack() as stack:
        yield lambda **given: stack.enter_context(new_stage(tmp_path, kept, **given))


@pytest.fixture
def stage(stage_of: Staged) -> Stage:
    """Nothing is there, a person deploys."""
    return stage_of()


def up(stage: Stage) -> str:
    """`azd up` that must succeed, then the smoke test."""
    code, said = stage.run("azd up")
    assert code == 0, said
    code, smoked = stage.smoke()
    assert (code, "All is well." in smoked) == (0, True), smoked
    assert "started by the blob trigger" in smoked
    return said


def made(cloud: Cloud, kind: str) -> int:
    """How many of them were made."""
    return sum(kind in one for makes in cloud.data["makes"].values() for one in makes)


def test_first_deployment_succeeds_and_the_docs_have_its_table(stage: Stage) -> None:
    stage.environment("dev")
    up(stage)
    cloud = stage.cloud
    assert table(cloud) in PAGE, table(cloud)
    # Of what Azure makes one wait for, each was met once at least: else the double proves nothing.
    refused = " ".join(str(call.get("refused", "")) for call in cloud.data["calls"])
    for met in ("Request_ResourceNotFound", "Forbidden", "Url validation"):
        assert met in refused
    assert cloud.clock < 15 * 60


def test_a_repeated_deployment_makes_nothing_and_does_not_wait(stage: Stage) -> None:
    stage.environment("dev")
    up(stage)
    stage.set(makes={}, calls=[])
    began, secrets = stage.cloud.clock, stage.cloud.data["secrets"]
    said = up(stage)
    assert "Secret OPS-WEBHOOK-SECRET: kept" in said
    cloud = stage.cloud
    assert made(cloud, "Microsoft.") == made(cloud, "secret") == made(cloud, "application") == 0
    assert cloud.data["secrets"] == secrets
    waits = [call["line"] for call in cloud.data["calls"] if call["line"].startswith("sleep")]
    assert set(waits) <= {"sleep 10"}, waits
    assert cloud.clock - began < 6 * 60


def test_a_change_of_tier_is_refused_before_anything_is_made(stage: Stage) -> None:
    stage.environment("dev")
    up(stage)
    stage.set(makes={})
    stage.run("azd env set MOBEXPORT_TIER prod")
    code, said = stage.run("azd up")
    assert (code, "azd env new NAME" in said) == (1, True)
    assert not stage.cloud.data["makes"]


def test_without_the_check_azure_would_refuse_the_other_tier(stage: Stage) -> None:
    stage.environment("dev")
    up(stage)
    line = "az deployment sub create --location westeurope --parameters infra/main.bicepparam --output none"
    values = 'set -a && eval "$(azd env get-values)" && set +a'
    code, said = stage.run(
        f"{values} && MOBEXPORT_TIER=prod {line} --name n --subscription $AZURE_SUBSCRIPTION_ID"
    )
    assert (code, "StorageAccountTypeConversionNotAllowed" in said) == (1, True)


@pytest.mark.parametrize(
    "where",
    ["Microsoft.Web/sites/func", "az keyvault secret set", "package", "az deployment group create"],
)
def test_after_a_failure_half_way_the_next_run_succeeds(stage_of: Staged, where: str) -> None:
    # Some are tried again at once: these must fail for as long as somebody tries.
    times = 40 if where == "az deployment group create" else 1
    stage = stage_of(faults=[{"at": where, "times": times, "code": "InternalServerError"}])
    stage.environment("dev")
    code, said = stage.run("azd up")
    assert code == 1, said
    stage.set(faults=[])
    up(stage)


def test_after_azd_down_the_name_of_the_vault_is_explained(stage: Stage) -> None:
    stage.environment("dev")
    up(stage)
    before = stage.cloud.data["secrets"]
    assert stage.run("azd down")[0] == 0
    code, said = stage.run("azd up")
    vault = re.search(r"az keyvault purge --name (kv-\w+)", said)
    assert code == 1
    assert vault, said
    stage.run("azd env set RECOVER_VAULT true")
    up(stage)
    assert stage.cloud.data["secrets"] == before
    stage.run("azd env set RECOVER_VAULT false")
    up(stage)


def test_after_azd_down_with_purge_everything_is_made_again(stage: Stage) -> None:
    stage.environment("dev")
    up(stage)
    before = stage.cloud.data["secrets"]
    assert stage.run("azd down --purge")[0] == 0
    up(stage)
    assert stage.cloud.data["secrets"] != before


def test_in_prod_the_vault_is_not_purged_but_recovered(stage: Stage) -> None:
    stage.environment("prod", MOBEXPORT_TIER="prod")
    up(stage)
    code, said = stage.run("azd down --purge")
    assert (code, "DeletedVaultPurge" in said) == (1, True)
    stage.run("azd env set RECOVER_VAULT true")
    up(stage)


def test_a_second_environment_stands_beside_the_first(stage: Stage) -> None:
    stage.environment("dev")
    up(stage)
    stage.environment("prod", MOBEXPORT_TIER="prod")
    assert stage.run("azd up")[0] == 0
    names = [
        item["name"]
        for item in stage.cloud.data["resources"].values()
        if item["type"] == "Microsoft.Web/sites"
    ]
    assert len(set(names)) == 2


def test_a_workflow_deploys_as_a_service_principal(stage_of: Staged) -> None:
    # Without rights in the directory, and `az` on another subscription.
    stage = stage_of(kind="ServicePrincipal", rights=["write", "assign"])
    code, said = stage.workflow("dev", **VARIABLES)
    assert (code, "All is well." in said) == (0, True), said
    assert stage.cloud.find("Microsoft.Resources/resourceGroups", "rg-mobexport-dev")
    code, said = stage.workflow(
        "dev", **VARIABLES, SECRET_SETTINGS="OPS_WEBHOOK_SECRET,REQUEST_SIGNING_SECRET"
    )
    assert (code, "All is well." in said) == (0, True), said


def test_a_workflow_without_a_variable_says_which(stage_of: Staged) -> None:
    stage = stage_of(kind="ServicePrincipal", rights=["write", "assign"])
    code, said = stage.workflow("dev", **{**VARIABLES, "EXPORT_API_CLIENT_ID": ""})
    assert (code, "Set the variable EXPORT_API_CLIENT_ID" in said) == (1, True)
    assert not stage.cloud.data["makes"]


def test_a_workflow_keeps_the_raw_container_of_the_team(stage_of: Staged) -> None:
    stage = stage_of(kind="ServicePrincipal", rights=["write", "assign"])
    for _ in range(2):
        assert stage.workflow("dev", **VARIABLES, RAW_CONTAINER="telemetry")[0] == 0
    config = stage.cloud.find("Microsoft.Web/sites/config")
    assert config
    assert config["properties"]["RAW_CONTAINER"] == "telemetry"


def test_the_commands_without_azd_are_those_of_the_docs(stage: Stage) -> None:
    block = PAGE.split("## With az, and")[1].split("```")[1]
    commands = re.sub(r"\s+#.*", "", block).replace("az account set --subscription ID", "")
    code, said = stage.run(
        f"export AZURE_SUBSCRIPTION_ID={SUBSCRIPTION}\nset -e\n{commands.replace('&& set', '; set')}"
    )
    assert (code, "All is well." in said) == (0, True), said


def test_all_goes_to_one_subscription_and_none_to_azs_own(stage: Stage) -> None:
    stage.environment("dev")
    up(stage)
    assert {key[:36] for key in stage.cloud.data["resources"]} == {SUBSCRIPTION}


def test_line_ends_of_windows_do_no_harm(stage_of: Staged) -> None:
    stage = stage_of(line_end="\r\n")
    stage.environment("dev")
    up(stage)


def test_without_the_right_to_assign_roles_that_right_is_named(stage_of: Staged) -> None:
    stage = stage_of(rights=["write", "directory"])
    stage.environment("dev")
    code, said = stage.run("azd up")
    assert (code, "Role Based Access Control Administrator" in said) == (1, True)


def test_a_package_that_does_not_import_is_not_called_deployed(stage: Stage) -> None:
    stage.environment("dev")
    (stage.project / "function_app.py").write_text("raise ImportError\n")
    code, said = stage.run("azd up")
    assert (code, "Function exported_file: not after 60 tries" in said) == (1, True)


def test_a_closed_network_needs_the_address_of_who_deploys(stage: Stage) -> None:
    stage.environment("dev", PRIVATE_NETWORK="true")
    code, said = stage.run("azd up")
    assert (code, "add your address to ALLOWED_IP_RANGES" in said) == (1, True), said
    stage.run("azd env set ALLOWED_IP_RANGES 203.0.113.7")
    up(stage)


def test_locks_hold_azd_down_until_the_docs_commands_delete_them(stage_of: Staged) -> None:
    stage = stage_of(rights=["write", "assign", "directory", "lock"])
    stage.environment("dev", RESOURCE_LOCKS="true")
    up(stage)
    code, said = stage.run("azd down")
    assert (code, "ScopeLocked" in said) == (1, True)
    assert stage.cloud.find("Microsoft.KeyVault/vaults")
    (unlock,) = re.findall(r"^for .* az lock delete .*$", PAGE, re.MULTILINE)
    values = 'set -a && eval "$(azd env get-values)" && set +a'
    code, said = stage.run(f"{values}\n{unlock}")
    assert code == 0, said
    assert stage.run("azd down")[0] == 0


def test_locks_need_more_than_a_contributor(stage: Stage) -> None:
    stage.environment("dev", RESOURCE_LOCKS="true")
    code, said = stage.run("azd up")
    assert (code, "Owner" in said) == (1, True)


@pytest.mark.parametrize(
    ("resource", "code"),
    [
        ({"type": "Microsoft.Storage/storageAccounts", "name": "st_data"}, "InvalidResourceName"),
        ({"type": "Microsoft.KeyVault/vaults", "name": "kv-" + "x" * 30}, "InvalidResourceName"),
        (
            {"type": "Microsoft.KeyVault/vaults", "name": "kv-1", "properties": {"createMode": "recover"}},
            "VaultNotFound",
        ),
        (
            {"type": "Microsoft.Authorization/roleAssignments", "properties": {"principalId": "[new]"}},
            "PrincipalNotFound",
        ),
        (
            {
                "type": "Microsoft.Consumption/budgets",
                "properties": {"timePeriod": {"startDate": "2026-12-15"}},
            },
            "first of a month",
        ),
        ({"type": "Microsoft.Web/sites", "name": "func-1"}, "container of the deployment package"),
    ],
)
def test_the_double_refuses_what_azure_refuses(tmp_path: Path, resource: dict[str, Any], code: str) -> None:
    cloud = Cloud.new(tmp_path / "cloud.json")
    with pytest.raises(Refused, match=code):
        cloud.deploy("s", [{"id": "/x", "name": "x", "properties": {}, **resource}])
