"""The wheels: one import package each; the app's has a command line that runs on its requirements alone."""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
LEFTOVERS = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "node_modules")
EVENT_FILE = [
    {
        "deviceId": "9f1c3e0a-6a0b-4c1e-9d6a-0b1f2c3d4e5f",
        "events": [
            {"name": "open", "timestamp": "2025-03-23T10:00:00Z"},
            {"name": "bad", "timestamp": "soon"},
        ],
    }
]

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This folder as it is cloned: a `build` from before would get into the wheel."""
    return shutil.copytree(ROOT, tmp_path_factory.mktemp("checkout") / "app", ignore=LEFTOVERS)


def _build(project: Path, out: Path) -> Path:
    """The wheel of a project, made without a network."""
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*command, "--wheel-dir", str(out), str(project)],
        cwd=out,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = out.glob("*.whl")
    return wheel


def _packages(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    return {name for name in tops if not name.endswith(".dist-info")}


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build(checkout, tmp_path_factory.mktemp("wheel"))


def test_given_the_app_when_built_as_a_wheel_then_mobexport_alone(wheel: Path) -> None:
    assert _packages(wheel) == {"mobexport"}
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if name.startswith("mobexport/")}
    assert shipped == {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "mobexport").rglob("*")
        if path.suffix in (".py", ".html", ".css", ".js", ".svg")
    }


def test_given_devhost_when_built_as_a_wheel_then_devhost_alone(checkout: Path, tmp_path: Path) -> None:
    assert _packages(_build(checkout / "devhost", tmp_path)) == {"devhost"}


def _needed(of: Distribution, extras: frozenset[str] = frozenset()) -> Iterator[Distribution]:
    """What a distribution requires, and what that requires, as installed here."""
    for text in of.requires or ():
        wanted = Requirement(text)
        chosen = [{"extra": extra} for extra in extras] or [{"extra": ""}]
        if wanted.marker is None or any(wanted.marker.evaluate(extra) for extra in chosen):
            found = distribution(wanted.name)
            yield found
            yield from _needed(found, frozenset(wanted.extras))


@pytest.fixture(scope="module")
def bin_folder(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of an environment with the wheel, and with its requirements as they are installed here."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index"]
    subprocess.run([*install, str(wheel)], capture_output=True, text=True, check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (installed,) = Distribution.discover(name="mobile-engagement-export", path=[str(packages)])
    for needed in _needed(installed, frozenset({"cli"})):
        for top in {
            file.parts[0] for file in needed.files or () if file.parts[0] not in ("..", "__pycache__")
        }:
            link = packages / top
            if not link.exists():
                link.symlink_to(Path(str(needed.locate_file(top))))
    return folder / "bin"


def _run(bin_folder: Path, *command: str, cwd: Path) -> str:
    done = subprocess.run(
        [str(bin_folder / command[0]), *command[1:]],
        cwd=cwd,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_given_the_wheel_then_nothing_of_this_folder_is_installed(bin_folder: Path, tmp_path: Path) -> None:
    code = (
        "import importlib.util as u, mobexport; print(mobexport.__file__);"
        "names = 'activities devhost durable_app demo localdev duckdb pytest'.split();"
        "print([name for name in names if u.find_spec(name)])"
    )
    where, others = _run(bin_folder, "python", "-c", code, cwd=tmp_path).splitlines()
    assert Path(where).is_relative_to(bin_folder.parent)
    assert others == "[]"


def test_given_the_wheel_then_its_help_names_its_commands(bin_folder: Path, tmp_path: Path) -> None:
    printed = _run(bin_folder, "mobexport", "--help", cwd=tmp_path)
    assert {"convert", "export", "pull"} <= set(printed.split())
    assert "openapi" in _run(bin_folder, "mobexport", "openapi", cwd=tmp_path)


def test_given_the_wheel_then_a_file_becomes_parquet_and_rejects(bin_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "Event-1.json").write_text(json.dumps(EVENT_FILE))
    printed = _run(bin_folder, "mobexport", "convert", "Event-1.json", cwd=tmp_path)
    assert re.search(r"rows +1\b", printed)
    assert len(list((tmp_path / "parquet").rglob("*.parquet"))) == 1
    assert "soon" in next(iter((tmp_path / "parquet").rglob("*.ndjson"))).read_text("utf-8")
