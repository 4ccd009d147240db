"""The zip that is deployed: nothing but the app, and it runs from there on what its lock file names."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from benchmarks.package import install, sizes, start_up
from localdev.processes import LOOPBACK, Process, free_ports, wait_until
from mobexport import durable_names
from scripts.package import build, deployed_files

ROOT = Path(__file__).parent.parent.parent
DEPLOYED = {
    "LICENSE",
    "activities",
    "durable_app",
    "exports.toml",
    "function_app.py",
    "host.json",
    "mobexport",
    "orchestrators",
    "requirements.txt",
    "triggers",
}
EVENT = b'{"deviceId":"d1","name":"open","timestamp":"2025-03-23T10:00:00Z"}\n'
INDEX = """
import function_app, json
print(json.dumps(sorted(f.get_function_name() for f in function_app.app.get_functions())))
"""
OFFLINE = ("NewConnectionError", "Network is unreachable", "name resolution", "Connection refused")


def test_given_this_folder_when_packed_then_only_what_runs(tmp_path: Path) -> None:
    files = deployed_files()
    assert {path.parts[0] for path in files} | {"exports.toml"} == DEPLOYED
    assert {path.suffix for path in files} <= {
        *(".py", ".json", ".txt", ".toml", ""),
        *(".html", ".css", ".js", ".svg"),  # the status page
    }
    assert not [path for path in files if "test" in path.name or path.name.startswith(".")]


def test_given_a_developers_folder_then_no_secret_or_leftover_is_packed(
    tmp_path: Path,
) -> None:
    for name in (
        ".env",
        ".azure/dev/.env",
        ".venv/lib/x.py",
        ".git/config",
        "local.settings.json",
        "exports.toml",
        "host.json",
        "mobexport/__pycache__/x.pyc",
        "mobexport/x.py",
        "mobexport/tests/x.py",
        "node_modules/x.js",
        "__azurite_db_blob__.json",
        "debug.log",
        "dist/app.zip",
        "tests/x.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    shutil.copy(ROOT / ".funcignore", tmp_path)
    assert [path.as_posix() for path in deployed_files(tmp_path)] == [
        "exports.toml",
        "host.json",
        "mobexport/x.py",
    ]


def test_given_the_same_files_when_packed_twice_then_the_same_bytes(tmp_path: Path) -> None:
    one, two = tmp_path / "one.zip", tmp_path / "two.zip"
    build(one)
    os.utime(ROOT / "host.json")
    build(two)
    assert one.read_bytes() == two.read_bytes()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(the unpacked app, a Python with its locked requirements and nothing else)."""
    folder = tmp_path_factory.mktemp("package")
    build(folder / "app.zip")
    try:
        return install(folder / "app.zip", folder)
    except subprocess.CalledProcessError as error:
        if any(sign in error.stderr for sign in OFFLINE):
            pytest.skip("no package index can be reached, so the lock file cannot be installed")
        raise AssertionError(error.stderr) from None


@pytest.mark.slow
def test_given_the_lock_alone_when_indexed_then_every_function_is_there(installed: tuple[Path, Path]) -> None:
    app, python = installed
    done = subprocess.run(
        [str(python), "-c", INDEX], cwd=app, env={}, capture_output=True, text=True, check=True, timeout=120
    )
    names = set(json.loads(done.stdout))
    assert names > durable_names.ORCHESTRATORS | durable_names.ACTIVITIES
    assert {"health", "request_export", "create_export_task", "exported_file"} <= names


@pytest.fixture
def running(installed: tuple[Path, Path], azurite, tmp_path: Path) -> Iterator[str]:
    """The unpacked app on the local host, which alone is taken from this checkout; its URL."""
    app, python = installed
    shutil.copytree(ROOT / "devhost/src/devhost", tmp_path / "host" / "devhost")
    (port,) = free_ports(1)
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(tmp_path / "host"),
        "AzureWebJobsStorage": azurite.connection_string,
        "DATA_STORAGE": azurite.connection_string,
        "EXPORT_API_AUTH": "none",
        "POLL_FIRST_SECONDS": "0.5",
        "NO_PROXY": LOOPBACK,
    }
    command = [str(python), "-m", "devhost", "start", "--script-root", str(app), "--port", str(port)]
    process = Process([*command, "--state", str(tmp_path / "state")], tmp_path / "log", env, cwd=tmp_path)
    url = f"http://{LOOPBACK}:{port}"
    try:
        wait_until(lambda: _healthy(url), process, "the package", 90)
        yield url
    finally:
        process.stop()


def _healthy(url: str) -> bool:
    try:
        return requests.get(f"{url}/api/health", timeout=10).status_code == 200
    except requests.RequestException:
        return False


@pytest.mark.slow
def test_given_the_package_when_run_then_the_smoke_test_passes(running: str, azurite) -> None:
    from azure.storage.blob import BlobServiceClient

    with BlobServiceClient.from_connection_string(azurite.connection_string) as blobs:
        raw = blobs.get_container_client("raw")
        if not raw.exists():
            raw.create_container()
        raw.upload_blob("packaged/events/2025-03-23/a.ndjson", EVENT, overwrite=True)
    smoke = [sys.executable, "-m", "scripts.smoke", running, "--app", "packaged", "--day", "2025-03-23"]
    done = subprocess.run(smoke, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 records = 1 rows + 0 rejects" in done.stdout


@pytest.mark.slow
def test_given_the_package_when_weighed_then_the_figures_add_up(installed: tuple[Path, Path], capsys) -> None:
    app, python = installed
    weighed = sizes(python)
    milliseconds, mebibytes = start_up(python, app, "function_app")
    total = sum(weighed.values()) / 2**20
    with capsys.disabled():
        largest = sorted(weighed.items(), key=lambda item: -item[1])[:5]
        shown = ", ".join(f"{name} {size / 2**20:.1f}" for name, size in largest)
        print(f"\n{len(weighed)} wheels, {total:.0f} MiB on disk: {shown}")
        print(f"cold start: {milliseconds:.0f} ms, {mebibytes:.0f} MiB")
    assert "pyarrow" in weighed
    assert "duckdb" not in weighed
    # A Flex Consumption instance unpacks all of this at every cold start: look twice before it grows.
    assert total < 400
    assert 1 < mebibytes < 200
