"""Changes of files that restart the host."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from devhost.watch import Watch


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("function_app.py", "triggers/a.py", "host.json", "local.settings.json", "notes.md"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("1")
    return tmp_path


def test_given_python_files_or_host_json_changed_then_they_are_named(root: Path) -> None:
    watch = Watch(root, root / "state")
    assert watch.changes() == []
    (root / "triggers" / "a.py").write_text("22")
    (root / "triggers" / "new").mkdir()
    (root / "triggers" / "new" / "b.py").touch()
    (root / "function_app.py").unlink()
    (root / "host.json").write_text("{}")
    assert watch.changes() == ["function_app.py", "host.json", "triggers/a.py", "triggers/new/b.py"]
    assert watch.changes() == []


def test_given_the_same_size_when_only_the_time_differs_then_a_change(root: Path) -> None:
    watch = Watch(root, root / "state")
    os.utime(root / "function_app.py", ns=(1, 1))
    assert watch.changes() == ["function_app.py"]


@pytest.mark.parametrize(
    "name",
    [
        "local.settings.json",
        "notes.md",
        "triggers/host.json",
        ".venv/lib/x.py",
        ".git/x.py",
        "env/lib/x.py",
        "node_modules/a/x.py",
        "triggers/__pycache__/x.py",
        "state/x.py",
    ],
)
def test_given_other_files_when_they_change_then_nothing_happens(root: Path, name: str) -> None:
    (root / "env").mkdir()
    (root / "env" / "pyvenv.cfg").touch()
    watch = Watch(root, root / "state")
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("changed")
    assert watch.changes() == []


def test_given_a_slow_look_then_looking_stays_at_half_a_percent(root: Path) -> None:
    def clock() -> Iterator[float]:
        yield from (0.0, 0.001, 10.0, 10.02)

    times = clock()
    watch = Watch(root, root / "state", clock=lambda: next(times))
    assert watch.pause == 0.4
    watch.changes()
    assert watch.pause == pytest.approx(4.0)
