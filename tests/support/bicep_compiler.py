"""The Bicep compiler for tests: templates compiled, linted, and evaluated offline as snapshots."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
TENANT = "00000000-0000-0000-0000-00000000000a"
API_CLIENT = "11111111-2222-3333-4444-555555555555"
MAIN = {
    "AZURE_ENV_NAME": "test",
    "AZURE_LOCATION": "westeurope",
    "EXPORT_API_CLIENT_ID": API_CLIENT,
    "ALERT_EMAIL": "ops@example.com",
}
QUIET = {
    "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1",
    "BICEP_TELEMETRY_OPTOUT": "1",
    "DOTNET_CLI_TELEMETRY_OPTOUT": "1",
}
EVENT_GRID = {
    "FUNCTION_APP_NAME": "app",
    "EVENT_GRID_TOPIC": "topic",
    "DATA_STORAGE_ACCOUNT": "data",
    "DEAD_LETTER_CONTAINER": "deadletter",
}


def find_bicep() -> str | None:
    """The compiler: `$BICEP`, on the PATH, where `az bicep install` puts it, or in ../shared/tools."""
    candidates = [
        os.environ.get("BICEP"),
        shutil.which("bicep"),
        str(Path.home() / ".azure" / "bin" / "bicep"),
        str(ROOT.parent / "shared" / "tools" / "bicep"),
    ]
    return next((str(Path(path).resolve()) for path in candidates if path and Path(path).is_file()), None)


class Bicep:
    """Runs the compiler; whatever it says on stderr counts as a failure, warnings too."""

    def __init__(self, path: str, work: Path) -> None:
        self._path = path
        # Snapshots are written beside the parameter file: never into the checkout.
        self.root = work
        shutil.copytree(ROOT / "infra", work / "infra")
        shutil.copy(ROOT / "bicepconfig.json", work)
        self._kept: dict[tuple[str, ...], str] = {}

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        """Standard output of a command that must be silent otherwise."""
        done = self.call(*arguments, env=env)
        assert (done.returncode, done.stderr.strip()) == (0, ""), done.stderr
        return done.stdout

    def call(self, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """The command as it ended; it sees no variables of ours but `env`."""
        plain = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return subprocess.run(
            [self._path, *arguments],
            cwd=self.root,
            env={**plain, **QUIET, **(env or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def compiled(self, template: str) -> dict[str, Any]:
        """The ARM JSON of `infra/{template}.bicep`."""
        out = self.root / "out"
        if not out.exists():
            out.mkdir()
            for name in ("main", "eventgrid"):
                self.run("build", f"infra/{name}.bicep", "--outdir", "out")
        return json.loads((out / f"{template}.json").read_text("utf-8-sig"))

    def snapshot(self, parameters: str, env: Mapping[str, str]) -> dict[str, Any]:
        """What `infra/{parameters}` would deploy: `{predictedResources, diagnostics, outputs}`."""
        key = (parameters, *sorted(f"{name}={value}" for name, value in env.items()))
        if key not in self._kept:
            where = ["--subscription-id", SUBSCRIPTION, "--tenant-id", TENANT, "--location", "westeurope"]
            if parameters.startswith("eventgrid"):
                where += ["--resource-group", "rg"]
            self.run("snapshot", f"infra/{parameters}", *where, env=env)
            written = self.root / "infra" / parameters.replace(".bicepparam", ".snapshot.json")
            self._kept[key] = written.read_text("utf-8-sig")
            written.unlink()
        return json.loads(self._kept[key])


def of_type(snapshot: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    """The resources of one type."""
    return [item for item in snapshot["predictedResources"] if item["type"] == kind]


def last_names(snapshot: Mapping[str, Any], kind: str, account: str) -> set[str]:
    """Last segments of the names of one type below an account whose name begins so."""
    found = (item["name"].split("/") for item in of_type(snapshot, kind))
    return {parts[-1] for parts in found if parts[0].startswith(account)}
