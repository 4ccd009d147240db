"""Templates as the real compiler evaluates them, packages as the real Python imports them.

Both are slow and depend on nothing but what they are given: results are kept in a folder, `REHEARSAL_KEPT`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from bicep_compiler import QUIET, TENANT, find_bicep

from rehearsal.cloud import Refused

_LIST: Final = """
import json, function_app
print(json.dumps([one.get_function_name() for one in function_app.app.get_functions()]))
"""


def evaluate(parameters: Path, subscription: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """The snapshot `{predictedResources, outputs}` of a parameter file. Raises Refused with what it says."""
    read = re.findall(r"readEnvironmentVariable\('(\w+)'", parameters.read_text("utf-8"))
    given = {name: environ[name] for name in sorted(read) if name in environ}
    key = [subscription, environ.get("AZURE_RESOURCE_GROUP", ""), given]
    sources = [path.read_text("utf-8") for path in sorted(parameters.parent.rglob("*.bicep*"))]
    return _kept([parameters.name, key, sources], lambda: _snapshot(parameters, subscription, environ))


def _kept(key: Any, make: Callable[[], Any]) -> Any:
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()
    path = Path(os.environ["REHEARSAL_KEPT"], digest)
    if not path.exists():
        found = make()
        new = path.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps(found), "utf-8")
        new.rename(path)
    return json.loads(path.read_text("utf-8"))


def _snapshot(parameters: Path, subscription: str, environ: Mapping[str, str]) -> dict[str, Any]:
    bicep = find_bicep()
    assert bicep, "the Bicep compiler is needed"
    group = ["--resource-group", environ.get("AZURE_RESOURCE_GROUP", "rg")]
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(parameters.parent, f"{folder}/infra")
        done = subprocess.run(
            [
                *(bicep, "snapshot", f"infra/{parameters.name}", "--subscription-id", subscription),
                *("--tenant-id", TENANT, "--location", environ.get("AZURE_LOCATION", "westeurope")),
                *(group if parameters.name.startswith("eventgrid") else ()),
            ],
            cwd=folder,
            env={**environ, **QUIET},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if done.returncode:
            raise Refused("InvalidTemplate", done.stdout + done.stderr)
        written = Path(folder, "infra", parameters.name.replace(".bicepparam", ".snapshot.json"))
        return json.loads(written.read_text("utf-8-sig"))


def indexed(package: Path) -> list[str]:
    """The functions of a package, as the host would list them; none if it does not import."""
    return _kept(hashlib.sha256(package.read_bytes()).hexdigest(), lambda: _imported(package))


def _imported(package: Path) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(package) as archive:
            archive.extractall(folder)
        plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [sys.executable, "-c", _LIST],
            cwd=folder,
            env={**plain, "AZURE_FUNCTIONS_ENVIRONMENT": "Production"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return json.loads(done.stdout) if done.returncode == 0 else []
