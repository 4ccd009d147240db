"""The GitHub workflows: actionlint is content, the login is federated, and nothing secret is stored."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bicep_compiler import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def actionlint(*paths: Path) -> str:
    """What actionlint has to say; with shellcheck beside it, of the scripts in `run` as well."""
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    found = shutil.which("actionlint", path=tools)
    if found is None:
        pytest.skip("actionlint is not installed: run `make setup`")
    done = subprocess.run(
        [found, "-no-color", "-oneline", *map(str, paths)],
        env={**os.environ, "PATH": tools},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.stdout + done.stderr


def test_given_the_workflows_when_linted_then_nothing_is_found() -> None:
    assert [path.name for path in WORKFLOWS] == ["ci.yml", "deploy.yml"]
    assert actionlint(*WORKFLOWS) == ""


def test_given_a_broken_workflow_when_linted_then_it_is_found(tmp_path: Path) -> None:
    broken = tmp_path / "x.yml"
    text = WORKFLOWS[1].read_text("utf-8").replace("inputs.environment ||", "inputs.enviroment ||", 1)
    broken.write_text(text, "utf-8")
    assert 'property "enviroment" is not defined' in actionlint(broken)


def test_workflows_have_no_stored_secret_and_least_permissions() -> None:
    for path in WORKFLOWS:
        text = path.read_text("utf-8")
        assert not re.search(r"\$\{\{[^}]*\bsecrets\b", text), path.name
        assert "\npermissions:\n  contents: read\n" in text, path.name
        assert "pull_request_target" not in text, path.name
    deploy = WORKFLOWS[1].read_text("utf-8")
    assert deploy.count("id-token: write") == 2
    assert "id-token" not in WORKFLOWS[0].read_text("utf-8")


def test_workflows_name_make_targets_and_scripts_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for path in WORKFLOWS:
        text = path.read_text("utf-8")
        assert set(re.findall(r"\bmake ([a-z-]+)", text)) <= targets
        for script in re.findall(r"\bsh (infra/\S+\.sh)", text):
            assert (ROOT / script).is_file(), script
        for module in re.findall(r"python -m (scripts\.\w+)", text):
            assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module


def test_workflow_hands_on_every_value_of_the_template() -> None:
    deploy = WORKFLOWS[1].read_text("utf-8")
    parameters = (ROOT / "infra" / "main.bicepparam").read_text("utf-8")
    read = set(re.findall(r"readEnvironmentVariable\('(\w+)'", parameters))
    given = dict(re.findall(r"^  ([A-Z_]+): \$\{\{ (.*) \}\}$", deploy.split("\njobs:")[0], re.MULTILINE))
    assert read - given.keys() == set()
    own = {"AZURE_ENV_NAME", "MOBEXPORT_TIER"}
    assert {name: given[name] for name in read - own} == {name: f"vars.{name}" for name in read - own}


def test_workflow_deploys_in_the_order_of_the_docs() -> None:
    deploy = WORKFLOWS[1].read_text("utf-8").split("\n  deploy:")[1]
    page = (ROOT / "docs" / "deploy.md").read_text("utf-8").split("\n## With az, and")[1]
    scripts = r"infra/(?:hooks/)?\w+\.sh"
    assert re.findall(scripts, deploy) == list(dict.fromkeys(re.findall(scripts, page)))[:6]


def test_docs_list_each_variable_of_the_deployment() -> None:
    names = set(re.findall(r"vars\.(\w+)", WORKFLOWS[1].read_text("utf-8")))
    parameters = (ROOT / "infra" / "main.bicepparam").read_text("utf-8")
    names |= set(re.findall(r"readEnvironmentVariable\('(\w+)'", parameters))
    page = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    assert not {name for name in names if f"| `{name}` |" not in page}
