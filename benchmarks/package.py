"""Size and start-up cost of the deployed package, wheel by wheel.

The package is built and its lock file installed into an empty environment, as the remote build does; start-up
figures are medians of new processes. Run by `make bench-package`; it needs a package index.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

from scripts.package import ZIP, build

RUNS = 5
# Distribution → the module that is imported of it; the first two at cold start, the others at first use.
MODULES = {
    "azure-functions": "azure.functions",
    "azure-functions-durable": "azure.durable_functions",
    "pydantic-settings": "pydantic_settings",
    "azure-identity": "azure.identity",
    "azure-storage-blob": "azure.storage.blob",
    "azure-storage-queue": "azure.storage.queue",
    "azure-data-tables": "azure.data.tables",
    "msgspec": "msgspec",
    "pyarrow": "pyarrow",
    "deltalake": "deltalake",
    "requests": "requests",
    "PyJWT": "jwt",
}
LIST = """
import importlib.metadata as m, json
print(json.dumps({d.name: sum(f.size or 0 for f in d.files or ()) for d in m.distributions()}))
"""
# Not ru_maxrss: a new process starts with that of the one that forked it.
PROBE = """
import time
began = time.perf_counter()
import {module}
took = time.perf_counter() - began
with open("/proc/self/status") as lines:
    print(took, next(line.split()[1] for line in lines if line.startswith("VmHWM")))
"""


def install(package: Path, folder: Path) -> tuple[Path, Path]:
    """Unpacks the zip below `folder` and installs its requirements; (app folder, python).

    Raises CalledProcessError with pip's output.
    """
    app, environment = folder / "app", folder / "env"
    with zipfile.ZipFile(package) as archive:
        archive.extractall(app)
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    lock = str(app / "requirements.txt")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--only-binary", ":all:", "--no-compile"]
    subprocess.run([*pip, "-r", lock], check=True, capture_output=True, text=True)
    return app, python


def sizes(python: Path) -> dict[str, int]:
    """Installed bytes of each distribution, pip and setuptools left out."""
    found: dict[str, int] = json.loads(_run(python, LIST, python.parent))
    return {name: size for name, size in found.items() if name.lower() not in ("pip", "setuptools")}


def start_up(python: Path, app: Path, module: str) -> tuple[float, float]:
    """Milliseconds and MiB of a new process that imports a module; medians."""
    found = [
        [float(part) for part in _run(python, PROBE.format(module=module), app).split()] for _ in range(RUNS)
    ]
    return (
        statistics.median(seconds for seconds, _ in found) * 1000,
        statistics.median(kibibytes for _, kibibytes in found) / 1024,
    )


def _run(python: Path, code: str, folder: Path) -> str:
    done = subprocess.run(
        [str(python), "-c", code], cwd=folder, env={}, capture_output=True, text=True, check=True
    )
    return done.stdout


def main() -> None:
    size = build()
    with tempfile.TemporaryDirectory() as folder:
        try:
            app, python = install(ZIP, Path(folder))
        except subprocess.CalledProcessError as error:
            sys.exit(f"the requirements cannot be installed:\n{error.stderr}")
        start_up(python, app, "function_app")  # compiles, once
        installed = sizes(python)
        modules = {"function_app": "function_app", **MODULES}
        figures = {name: start_up(python, app, module) for name, module in modules.items()}
    total = sum(installed.values())
    print(f"{'':<32}{'MiB on disk':>12}{'import ms':>12}{'RSS MiB':>12}")
    for name, bytes_ in sorted(installed.items(), key=lambda item: -item[1]):
        if bytes_ > total / 100 or name in MODULES:
            cells = "".join(f"{value:>12.0f}" for value in figures.get(name, ()))
            print(f"{name:<32}{bytes_ / 2**20:>12.1f}{cells}")
    print(f"{f'all {len(installed)} wheels':<32}{total / 2**20:>12.1f}")
    milliseconds, mebibytes = figures["function_app"]
    print(f"{'the app (zip), cold start':<32}{size / 2**20:>12.2f}{milliseconds:>12.0f}{mebibytes:>12.0f}")
    print(
        json.dumps(
            {
                "zipBytes": size,
                "wheels": len(installed),
                "wheelBytes": total,
                "coldStartMs": round(milliseconds),
                "coldStartMiB": round(mebibytes),
            }
        )
    )


if __name__ == "__main__":
    main()
