"""The function app as it would be deployed: plan, limits, identity, and every app setting."""

import json
import re
import tomllib
from typing import Any

from bicep_compiler import API_CLIENT, ROOT, TENANT, of_type

from durable_app.http import MAX_BODY
from mobexport.config import ExportsConfig
from mobexport.export_api.auth.authentication import check_serving
from mobexport.settings import Settings, read_settings
from mobexport.targets import WebhookTarget

# What the platform and the SDKs read; everything else must be a setting of ours.
PLATFORM = {
    *(f"AzureWebJobsStorage__{part}" for part in ("blobServiceUri", "queueServiceUri", "tableServiceUri")),
    *(f"{name}__{part}" for name in ("AzureWebJobsStorage", "DATA_STORAGE") for part in ("credential",)),
    "AzureWebJobsStorage__clientId",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "AZURE_CLIENT_ID",
    "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT",
}
# They break an app on Flex Consumption, or are refused; an exact AzureWebJobsStorage beats the URIs.
FORBIDDEN = re.compile(
    r"FUNCTIONS_(WORKER_RUNTIME|EXTENSION_VERSION)|WEBSITE_(RUN_FROM_PACKAGE|CONTENT\w*|TIME_ZONE|LOAD_\w+)"
    r"|TZ|SCM_DO_BUILD_DURING_DEPLOYMENT|ENABLE_ORYX_BUILD|AzureWebJobsStorage|AzureWebJobsDashboard"
)
HOST_NAME = "func-mobexport-test.azurewebsites.net"


def _app(deployed: dict[str, Any]) -> dict[str, Any]:
    (app,) = of_type(deployed, "Microsoft.Web/sites")
    return app


def _settings(deployed: dict[str, Any]) -> dict[str, str]:
    (config,) = of_type(deployed, "Microsoft.Web/sites/config")
    assert config["name"].endswith("/appsettings")
    return config["properties"]


def _names() -> set[str]:
    return {str(field.validation_alias or name.upper()) for name, field in Settings.model_fields.items()}


def _secrets() -> set[str]:
    sample = ExportsConfig.model_validate(tomllib.loads((ROOT / "exports.sample.toml").read_text("utf-8")))
    return {target.secret_setting for target in sample.targets.values() if isinstance(target, WebhookTarget)}


def _at_run_time(value: str) -> str:
    """A setting as Azure would fill it in: URLs of accounts, and a client id for a reference to one."""
    url = re.fullmatch(
        r"\[format\('https://\{0\}\.(\w+)\.\{1\}', '(\w+)', environment\(\)\.suffixes\.storage\)\]", value
    )
    if url:
        return f"https://{url[2]}.{url[1]}.core.windows.net"
    return API_CLIENT if value.startswith("[reference(") else value


def test_given_the_plan_when_evaluated_then_flex_within_its_limits(deployed: dict[str, Any]) -> None:
    (plan,) = of_type(deployed, "Microsoft.Web/serverfarms")
    assert plan["sku"] == {"tier": "FlexConsumption", "name": "FC1"}
    assert plan["properties"]["reserved"] is True
    config = _app(deployed)["properties"]["functionAppConfig"]
    scale = config["scaleAndConcurrency"]
    assert scale["instanceMemoryMB"] in (512, 2048, 4096)
    assert 40 <= scale["maximumInstanceCount"] <= 1000
    assert all(item["name"] == "durable" for item in scale["alwaysReady"])
    assert sum(item["instanceCount"] for item in scale["alwaysReady"]) <= scale["maximumInstanceCount"]
    # Python's default on Flex Consumption is one call at a time: each further one starts an instance.
    assert scale["triggers"] == {"http": {"perInstanceConcurrency": 8}}
    assert config["runtime"] == {"name": "python", "version": "3.11"}


def test_instance_memory_has_room_for_a_step(
    deployed: dict[str, Any],
) -> None:
    megabytes = _app(deployed)["properties"]["functionAppConfig"]["scaleAndConcurrency"]["instanceMemoryMB"]
    # Host and worker take some 300 MB, Arrow and a step's blocks some 250; such steps run one at a time.
    assert Settings.model_fields["work_memory_mb"].default + 550 < megabytes


def test_given_the_app_when_evaluated_then_https_one_identity_and_no_cors(deployed: dict[str, Any]) -> None:
    app = _app(deployed)
    (identity,) = of_type(deployed, "Microsoft.ManagedIdentity/userAssignedIdentities")
    assert app["kind"] == "functionapp,linux"
    assert app["identity"] == {"type": "UserAssigned", "userAssignedIdentities": {identity["id"]: {}}}
    properties = app["properties"]
    assert properties["httpsOnly"] is True
    assert properties["keyVaultReferenceIdentity"] == identity["id"]
    site = properties["siteConfig"]
    assert (site["minTlsVersion"], site["scmMinTlsVersion"], site["ftpsState"]) == ("1.2", "1.2", "Disabled")
    assert not {"cors", "alwaysOn", "linuxFxVersion", "healthCheckPath", "appSettings"} & site.keys()
    (publishing,) = of_type(deployed, "Microsoft.Web/sites/basicPublishingCredentialsPolicies")
    assert publishing["name"].endswith("/scm")
    assert publishing["properties"] == {"allow": False}
    package = properties["functionAppConfig"]["deployment"]["storage"]
    assert package["authentication"] == {
        "type": "UserAssignedIdentity",
        "userAssignedIdentityResourceId": identity["id"],
    }
    assert "format('https://{0}.blob.{1}/{2}', 'sthost" in package["value"]
    assert app["tags"]["azd-service-name"] in (ROOT / "azure.yaml").read_text("utf-8")


def test_deployed_settings_are_all_known_and_none_is_forbidden(
    deployed: dict[str, Any],
) -> None:
    settings = _settings(deployed)
    assert set(settings) <= _names() | PLATFORM | _secrets()
    assert set(settings) >= PLATFORM
    assert not [name for name in settings if FORBIDDEN.fullmatch(name)]


def test_deployed_settings_are_complete_and_the_app_is_not_local(
    deployed: dict[str, Any],
) -> None:
    environ = {name: _at_run_time(value) for name, value in _settings(deployed).items()}
    settings = read_settings({**environ, "WEBSITE_HOSTNAME": HOST_NAME})
    assert settings.data_storage is None
    assert settings.export_api_auth == "entra"
    assert not settings.is_local
    assert settings.api_url == f"https://{HOST_NAME}/api"
    assert settings.export_api_scope == f"api://{API_CLIENT}/.default"
    # Also with no caller named: the app may call itself.
    check_serving(settings, ExportsConfig())
    assert settings.own_caller == API_CLIENT


def test_given_a_large_body_then_the_host_refuses_it_unread(
    deployed: dict[str, Any],
) -> None:
    limit = _settings(deployed)["FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"]
    assert MAX_BODY < int(limit) <= 4 * MAX_BODY
    local = json.loads((ROOT / "local.settings.sample.json").read_text("utf-8"))
    assert local["Values"]["FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"] == limit


def test_export_api_takes_tokens_of_this_tenant_for_this_api(
    deployed: dict[str, Any],
) -> None:
    settings = _settings(deployed)
    assert settings["EXPORT_API_TENANT_ID"] == TENANT
    # Version 2.0 tokens carry the client id as their audience, version 1.0 tokens the URI.
    assert settings["EXPORT_API_AUDIENCE"].split(",") == [API_CLIENT, f"api://{API_CLIENT}"]


def test_both_connections_use_identity_and_all_three_services(
    deployed: dict[str, Any],
) -> None:
    settings = _settings(deployed)
    for connection, account in (("AzureWebJobsStorage", "sthost"), ("DATA_STORAGE", "stdata")):
        assert settings[f"{connection}__credential"] == "managedidentity"
        assert settings[f"{connection}__clientId"].endswith(".clientId]")
        for service in ("blob", "queue", "table"):
            uri = _at_run_time(settings[f"{connection}__{service}ServiceUri"])
            assert re.fullmatch(rf"https://{account}\w+\.{service}\.core\.windows\.net", uri)
        assert connection not in settings


def test_given_the_samples_secrets_then_they_are_vault_references(
    deployed: dict[str, Any],
) -> None:
    settings = _settings(deployed)
    (vault,) = of_type(deployed, "Microsoft.KeyVault/vaults")
    for name in _secrets():
        secret = name.replace("_", "-")
        assert settings[name] == f"@Microsoft.KeyVault(VaultName={vault['name']};SecretName={secret})"
    assert vault["properties"]["enableRbacAuthorization"] is True
    assert vault["properties"]["enableSoftDelete"] is True
    # Its retention can never be changed: the same in every tier.
    assert vault["properties"]["softDeleteRetentionInDays"] == 90
    assert vault["properties"]["createMode"] == "default"
    # `false` is refused by the service: on, or left out.
    assert vault["properties"].get("enablePurgeProtection") in (None, True)


def test_given_telemetry_when_evaluated_then_entra_only(deployed: dict[str, Any]) -> None:
    (component,) = of_type(deployed, "Microsoft.Insights/components")
    (workspace,) = of_type(deployed, "Microsoft.OperationalInsights/workspaces")
    assert component["properties"]["DisableLocalAuth"] is True
    assert component["properties"]["WorkspaceResourceId"] == workspace["id"]
    assert workspace["properties"]["features"]["disableLocalAuth"] is True
    authentication = _settings(deployed)["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"]
    assert authentication.startswith("[format('ClientId={0};Authorization=AAD', reference(")


def test_the_hosts_own_chatter_is_not_logged() -> None:
    levels = json.loads((ROOT / "host.json").read_text("utf-8"))["logging"]["logLevel"]
    # Log rows are paid for, and nothing is sampled; the alerts read Host.Triggers.DurableTask.
    assert levels == {
        "default": "Information",
        "Azure.Core": "Warning",
        "DurableTask.AzureStorage": "Warning",
        "DurableTask.Core": "Warning",
    }


def test_docs_list_every_setting_of_the_deployed_app(
    deployed: dict[str, Any],
) -> None:
    text = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    section = text.split("## Settings of the deployed app")[1].split("\n## ")[0]
    listed = set(re.findall(r"`(\w+)`", section))
    assert listed - {"SECRET_SETTINGS"} == set(_settings(deployed)) - _secrets()
