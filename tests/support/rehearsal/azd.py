"""azd's double: environments in `.azure`, and the sequence of azure.yaml: hooks, template, package.

As azd 1.18 and newer do it: the parameters are read after the hook, outputs become variables of the
environment, the package is sent once, without another try. Source: cli/azd/pkg/infra/provisioning/bicep, and
azd's page on hooks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from rehearsal.az import deploy_subscription
from rehearsal.cloud import Cloud, Refused
from rehearsal.templates import indexed

_SETTINGS: Final = Path(".azure")


class Environment:
    """The chosen environment: its name and variables, kept in `.azure/{name}/.env`."""

    def __init__(self) -> None:
        chosen = _SETTINGS / "config.json"
        if not chosen.exists():
            raise Refused("azd", "there is no environment: azd env new NAME")
        self.name: str = json.loads(chosen.read_text("utf-8"))["defaultEnvironment"]
        self._path = _SETTINGS / self.name / ".env"

    @classmethod
    def choose(cls, name: str) -> None:
        """Makes an environment, or goes back to one."""
        (_SETTINGS / name).mkdir(parents=True, exist_ok=True)
        (_SETTINGS / "config.json").write_text(json.dumps({"defaultEnvironment": name}), "utf-8")
        path = _SETTINGS / name / ".env"
        if not path.exists():
            path.write_text(json.dumps({"AZURE_ENV_NAME": name}), "utf-8")

    @property
    def values(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self._path.read_text("utf-8"))
        return found

    def set(self, values: dict[str, str]) -> None:
        self._path.write_text(json.dumps({**self.values, **values}), "utf-8")

    def drop(self, names: Sequence[str]) -> None:
        kept = {name: value for name, value in self.values.items() if name not in names}
        self._path.write_text(json.dumps(kept), "utf-8")


def _hook(name: str, environment: Environment) -> None:
    hooks: dict[str, Any] = yaml.safe_load(Path("azure.yaml").read_text("utf-8"))["hooks"]
    hook = hooks[name]["posix"]
    cloud = _cloud()
    cloud.begin(Path(hook["run"]).name)
    cloud.save()
    done = subprocess.run(
        [hook["shell"], hook["run"]], env={**os.environ, **environment.values}, check=False, timeout=300
    )
    if done.returncode:
        raise Refused("azd", f"{name} hook failed with exit code {done.returncode}")


def provision(environment: Environment) -> None:
    """Hook, template, hook."""
    for name in ("AZURE_LOCATION", "AZURE_SUBSCRIPTION_ID"):
        if name not in environment.values:
            raise Refused("azd", f"{name}: the double cannot be asked; azd env set it")
    _hook("preprovision", environment)
    cloud = _cloud()
    cloud.begin("main.bicep")
    values = environment.values
    given = {**os.environ, **values, "AZURE_PRINCIPAL_ID": cloud.data["deployer"]}
    try:
        outputs = deploy_subscription(
            cloud, Path("infra/main.bicepparam"), values["AZURE_SUBSCRIPTION_ID"], given
        )
    finally:
        cloud.save()
    environment.set(outputs)
    _hook("postprovision", environment)


def deploy(environment: Environment) -> None:
    """Package, hook."""
    subprocess.run([sys.executable, "-m", "scripts.package"], check=True, stdout=subprocess.DEVNULL)
    cloud = _cloud()
    cloud.begin("package")
    try:
        cloud.publish(environment.values["FUNCTION_APP_NAME"], indexed(Path("dist/app.zip")))
    finally:
        cloud.save()
    _hook("postdeploy", environment)


def down(environment: Environment, *, purge: bool) -> None:
    """Deletes the group; the template's outputs are no variables any more."""
    cloud = _cloud()
    values = environment.values
    try:
        cloud.delete_group(values["AZURE_SUBSCRIPTION_ID"], values["AZURE_RESOURCE_GROUP"], purge=purge)
    finally:
        cloud.save()
    environment.drop([name for name in values if name not in _given(values)])


def _given(values: dict[str, str]) -> set[str]:
    outputs = {
        line.split()[1]
        for line in Path("infra/main.bicep").read_text("utf-8").splitlines()
        if line.startswith("output ")
    }
    return set(values) - outputs


def _cloud() -> Cloud:
    return Cloud(Path(os.environ["REHEARSAL_STATE"]))


def run(argv: Sequence[str]) -> None:
    """One command. Raises Refused."""
    match list(argv):
        case ["env", "new" | "select", name]:
            Environment.choose(name)
        case ["env", "set", name, value]:
            Environment().set({name: value})
        case ["env", "get-values"]:
            for name, value in Environment().values.items():
                print(f'{name}="{value}"')
        case ["up"]:
            provision(Environment())
            deploy(Environment())
        case ["provision"]:
            provision(Environment())
        case ["deploy"]:
            deploy(Environment())
        case ["down", *options]:
            down(Environment(), purge="--purge" in options)
        case _:
            raise Refused("azd", f"{' '.join(argv)}: the double does not know it")


def main() -> int:
    try:
        run(sys.argv[1:])
    except Refused as refused:
        print(f"ERROR: {refused}", file=sys.stderr)
        return 1
    return 0
