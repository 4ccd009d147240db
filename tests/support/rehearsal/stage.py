"""The stage: a copy of the project, doubles first on the PATH, and what people and workflows do on it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from bicep_compiler import ROOT

from rehearsal.cloud import Cloud
from rehearsal.site import serving
from scripts.package import deployed_files

SUBSCRIPTION: Final = "22222222-0000-0000-0000-000000000000"
_BESIDE: Final = ("infra", "scripts", "azure.yaml", "bicepconfig.json", ".funcignore", "exports.sample.toml")
_DOUBLE: Final = """#!{python}
import sys
sys.path[:0] = {paths!r}
from rehearsal.{module} import main
sys.exit(main())
"""
_SLEEP: Final = """#!{python}
import os, sys
sys.path[:0] = {paths!r}
from pathlib import Path
from rehearsal.cloud import Cloud
cloud = Cloud(Path(os.environ["REHEARSAL_STATE"]))
name = Path(sys.argv[0]).name
if name == "sleep":
    cloud.wait(float(sys.argv[1]))
    cloud.data["calls"].append({{"at": cloud.clock, "line": "sleep " + sys.argv[1]}})
else:
    cloud.wait(5)
    cloud.wake()
cloud.save()
"""


@dataclass
class Stage:
    """A folder with the project, and the state of the doubles beside it."""

    folder: Path
    kept: Path
    """Where slow results are kept between stages."""
    url: str = ""
    output: list[str] = field(default_factory=list)

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def cloud(self) -> Cloud:
        """The state as it is now."""
        return Cloud(self.folder / "cloud.json")

    def set(self, **values: Any) -> None:
        """Changes the state, for a scenario."""
        cloud = self.cloud
        cloud.data.update(values)
        cloud.save()

    def run(self, command: str, *, shell: str = "sh", step: str = "", **env: str) -> tuple[int, str]:
        """A command line in the project: exit code, and what it said."""
        if step:
            cloud = self.cloud
            cloud.begin(step)
            cloud.save()
        path = os.pathsep.join((str(self.folder / "bin"), "/usr/bin", "/bin"))
        done = subprocess.run(
            [shell, "-ec", command],
            cwd=self.project,
            env={
                "PATH": path,
                "HOME": str(self.folder),
                "BICEP": os.environ.get("BICEP", ""),
                "REHEARSAL_KEPT": str(self.kept),
                "REHEARSAL_STATE": str(self.folder / "cloud.json"),
                "PYTHONDONTWRITEBYTECODE": "1",
                **env,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        self.output.append(f"$ {command}\n{done.stdout}")
        return done.returncode, done.stdout

    def environment(self, name: str, **values: str) -> None:
        """`azd env new`, and its values."""
        given = {"AZURE_LOCATION": "westeurope", "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION, **values}
        self.run(f"azd env new {name}")
        for key, value in given.items():
            self.run(f"azd env set {key} '{value}'")

    def smoke(self) -> tuple[int, str]:
        """The smoke test as docs/deploy.md has it, with azd."""
        values = 'set -a && eval "$(azd env get-values)" && set +a'
        return self.run(f"{values} && sh infra/smoke.sh com.example.shop --patience 0", step="smoke.sh")

    def workflow(self, choice: str, **variables: str) -> tuple[int, str]:
        """The job `deploy` of the workflow, with its environment's variables, up to a step that fails."""
        text = (ROOT / ".github" / "workflows" / "deploy.yml").read_text("utf-8")
        parsed = yaml.safe_load(text)
        kept = self.folder / "github_env"
        kept.write_text("")
        known = {**{f"vars.{name}": value for name, value in variables.items()}, "inputs.environment": choice}
        said = ""
        for step in parsed["jobs"]["deploy"]["steps"]:
            if "run" not in step:
                continue
            given = {**parsed["env"], **step.get("env", {})}
            env = {name: _filled(str(value), known) for name, value in given.items()}
            later = dict(line.split("=", 1) for line in kept.read_text().splitlines())
            name = re.search(r"infra/(?:hooks/)?(\w+\.sh)", step["run"])
            code, out = self.run(
                step["run"],
                shell="bash",
                step=_STEPS.get(name[1], name[1]) if name else "",
                **{**env, **later, "GITHUB_ACTIONS": "true", "GITHUB_ENV": str(kept)},
            )
            said += out
            if code:
                return code, said
        return 0, said


_STEPS: Final = {"provision.sh": "main.bicep", "publish.sh": "package"}


def _filled(text: str, known: Mapping[str, str]) -> str:
    def fill(match: re.Match[str]) -> str:
        for one in match[1].split("||"):
            value = one.strip().strip("'") if "'" in one else known.get(one.strip(), "")
            if value:
                return value
        return ""

    return re.sub(r"\$\{\{ (.*?) \}\}", fill, text)


@contextmanager
def staged(folder: Path, kept: Path, **given: Any) -> Iterator[Stage]:
    """A new stage in an empty folder; `given` as for `Cloud.new`."""
    project = folder / "project"
    for name in deployed_files(ROOT):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, project / name)
    for extra in _BESIDE:
        source = ROOT / extra
        (shutil.copytree if source.is_dir() else shutil.copy)(source, project / extra)
    shutil.copy(ROOT / "exports.sample.toml", project / "exports.toml")
    _make_doubles(folder / "bin")
    stage = Stage(folder, kept)
    Cloud.new(folder / "cloud.json", **given)
    with serving(lambda: stage.cloud) as url:
        stage.url = url
        stage.set(url=url)
        yield stage


def _make_doubles(folder: Path) -> None:
    folder.mkdir()
    paths = [str(ROOT / "tests" / "support"), str(ROOT)]
    texts = {
        **{name: _DOUBLE.format(python=sys.executable, paths=paths, module=name) for name in ("az", "azd")},
        **{name: _SLEEP.format(python=sys.executable, paths=paths) for name in ("sleep", "curl")},
        **dict.fromkeys(("python", "python3"), f'#!/bin/sh\nexec {sys.executable} "$@"\n'),
        "pip": "#!/bin/sh\n",
        # `make package`, without setting anything up.
        "make": f"#!/bin/sh\nexec {sys.executable} -m scripts.package\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
