"""The templates compile, lint and are laid out without a word from the official compiler."""

import re

import pytest
from bicep_compiler import EVENT_GRID, MAIN, ROOT, Bicep, of_type

# Off by intention; every other rule of the linter is an error.
OFF = {"use-recent-api-versions"}


def test_given_the_templates_when_linted_then_the_compiler_is_silent(bicep: Bicep) -> None:
    assert bicep.run("lint", "--pattern", "infra/*.bicep") == ""


def test_given_the_templates_when_built_then_there_is_one_of_each(bicep: Bicep) -> None:
    assert {bicep.compiled(name)["$schema"].split("/")[-1] for name in ("main", "eventgrid")} == {
        "subscriptionDeploymentTemplate.json#",
        "deploymentTemplate.json#",
    }


@pytest.mark.parametrize("tier", ["dev", "prod"])
def test_given_the_parameter_files_when_built_then_the_compiler_is_silent(bicep: Bicep, tier: str) -> None:
    env = {**MAIN, **EVENT_GRID, "MOBEXPORT_TIER": tier}
    bicep.run("build-params", "--pattern", "infra/*.bicepparam", env=env)


def test_given_wrong_values_when_built_then_each_is_named(bicep: Bicep) -> None:
    wrong = {**MAIN, "MOBEXPORT_TIER": "staging", "AZURE_ENV_NAME": ""}
    done = bicep.call("build-params", "infra/main.bicepparam", "--stdout", env=wrong)
    assert done.returncode != 0
    for says in ('does not contain property "staging"', "minimum allowable length is 1"):
        assert says in done.stderr


@pytest.mark.parametrize("names", ["", " ", ","])
def test_given_empty_variables_then_the_defaults_as_if_unset(bicep: Bicep, names: str) -> None:
    # GitHub Actions makes a variable that is not there an empty text.
    empty = {"SECRET_SETTINGS": names, "RAW_CONTAINER": "", "MOBEXPORT_TIER": "", "RECOVER_VAULT": ""}
    snapshot = bicep.snapshot("main.bicepparam", {**MAIN, **empty})
    assert snapshot == bicep.snapshot("main.bicepparam", MAIN)
    assert snapshot["outputs"]["SECRET_SETTINGS"] == "OPS_WEBHOOK_SECRET"


def test_given_spaces_between_secrets_then_clean_names(bicep: Bicep) -> None:
    snapshot = bicep.snapshot("main.bicepparam", {**MAIN, "SECRET_SETTINGS": " A_SECRET , B_SECRET,\r"})
    assert snapshot["outputs"]["SECRET_SETTINGS"] == "A_SECRET,B_SECRET"


def test_given_a_python_of_the_shell_then_the_app_keeps_its_own(bicep: Bicep) -> None:
    # Docker's images set PYTHON_VERSION to a patch version, which Flex Consumption does not know.
    assert bicep.snapshot("main.bicepparam", {**MAIN, "PYTHON_VERSION": "3.12.1"}) == bicep.snapshot(
        "main.bicepparam", MAIN
    )


def test_given_a_vault_to_recover_then_it_is_brought_back(bicep: Bicep) -> None:
    snapshot = bicep.snapshot("main.bicepparam", {**MAIN, "RECOVER_VAULT": "true"})
    (vault,) = of_type(snapshot, "Microsoft.KeyVault/vaults")
    assert vault["properties"]["createMode"] == "recover"


def test_given_no_app_registration_when_evaluated_then_the_remedy_is_named(bicep: Bicep) -> None:
    # The parameter file itself must compile without it: azd reads it before the hook makes one.
    done = bicep.call("snapshot", "infra/main.bicepparam", env={**MAIN, "EXPORT_API_CLIENT_ID": ""})
    assert done.returncode != 0
    assert "infra/hooks/entra.sh makes one" in done.stdout + done.stderr


def test_given_the_sources_when_formatted_then_nothing_changes(bicep: Bicep) -> None:
    bicep.run("format", "--pattern", "infra/**/*.bicep")
    bicep.run("format", "--pattern", "infra/**/*.bicepparam")
    for path in sorted((ROOT / "infra").rglob("*.bicep*")):
        formatted = (bicep.root / path.relative_to(ROOT)).read_text("utf-8")
        assert formatted == path.read_text("utf-8"), path.name


def test_given_the_linter_when_configured_then_every_rule_is_an_error() -> None:
    text = (ROOT / "bicepconfig.json").read_text("utf-8")
    levels = dict(re.findall(r'"([a-z-]+)": \{ "level": "(\w+)" \}', text))
    assert {name for name, level in levels.items() if level != "error"} == OFF
    assert {"no-unused-params", "no-unused-vars", "outputs-should-not-contain-secrets"} <= levels.keys()
