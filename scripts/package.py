"""Build the zip that is deployed: this folder without the files in `.funcignore`, reproducible.

For `az functionapp deployment`, and for looking at what is sent. `azd` reads the same `.funcignore` by the
same rules, from 1.18 on. `func` reads it by other rules and sends more (nested `__pycache__`), which does no
harm. Run by `make package`.
"""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pathspec import PathSpec

ROOT: Final = Path(__file__).resolve().parent.parent
ZIP: Final = ROOT / "dist" / "app.zip"
CONFIG: Final = "exports.toml"
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold: the real ones would change the bytes."""


def deployed_files(root: Path = ROOT) -> list[Path]:
    """Files that are deployed, below `root` and sorted; by its `.funcignore`."""
    ignored = PathSpec.from_lines("gitignore", (root / ".funcignore").read_text("utf-8").splitlines())

    def walk(folder: Path) -> Iterator[Path]:
        for path in folder.iterdir():
            name = path.relative_to(root).as_posix()
            if path.is_dir():
                # Not into ignored folders: nothing below them can be deployed, and some are huge.
                if not ignored.match_file(f"{name}/"):
                    yield from walk(path)
            elif not ignored.match_file(name):
                yield path.relative_to(root)

    return sorted(walk(root))


def build(target: Path = ZIP, root: Path = ROOT) -> int:
    """Writes the zip; returns its size in bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in deployed_files(root):
            entry = zipfile.ZipInfo(name.as_posix(), _EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, (root / name).read_bytes())
    return target.stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ZIP, help="the zip to write")
    out: Path = parser.parse_args().out
    size, files = build(out), deployed_files()
    print(f"{out}: {size / 1024:.0f} KiB, {len(files)} files; wheels are installed by the remote build")
    if Path(CONFIG) not in files:
        print(f"There is no {CONFIG} in it: the deployed app will answer 503 until there is one.")


if __name__ == "__main__":
    main()
