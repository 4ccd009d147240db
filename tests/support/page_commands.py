"""The commands of a page of the docs, run as a reader would: its `sh` blocks, in order, in a copy.

A comment before a block says what is particular about it: `<!-- a terminal of its own -->` goes on while the
others run, `<!-- needs Azure -->` is not run here. A `text` block below shows lines of what comes out; `…`
stands for anything.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from localdev.processes import ROOT, free_ports

OWN_TERMINAL: Final = "a terminal of its own"
NEEDS_AZURE: Final = "needs Azure"
READY: Final = "Ctrl-C ends it"
"""What a program in a terminal of its own says when the reader may go on."""
SECONDS: Final = 180
_FENCE: Final = re.compile(r"(?:^<!-- ([^\n]*) -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SKIPPED: Final = shutil.ignore_patterns(
    ".*", "node_modules", "dist", "build", "__pycache__", "exports.toml", "local.settings.json"
)


@dataclass(frozen=True)
class Block:
    """One `sh` block, its mark, and the lines that its output has."""

    text: str
    mark: str = ""
    shown: tuple[str, ...] = ()


def blocks(page: str) -> list[Block]:
    """The `sh` blocks of a page, in order."""
    found: list[Block] = []
    for mark, language, text in _FENCE.findall(page):
        if language == "sh":
            found.append(Block(text, mark))
        elif language == "text" and found:
            last = found[-1]
            lines = tuple(line for line in text.splitlines() if line.strip() not in ("", "…"))
            found[-1] = Block(last.text, last.mark, last.shown + lines)
    return found


def shows(output: str, line: str) -> bool:
    """Whether a line of a page stands in the output; blanks count as one."""
    parts = [re.escape(" ".join(part.split())).replace(r"\ ", r"\s+") for part in line.split("…")]
    return re.search(r"[^\n]*".join(parts), output) is not None


@dataclass
class Reader:
    """Runs blocks in a copy of this folder, with ports of its own, and the environment of the last block."""

    folder: Path
    scratch: Path
    _ports: list[int] = field(default_factory=lambda: free_ports(4))

    def __post_init__(self) -> None:
        shutil.copytree(ROOT, self.folder, ignore=_SKIPPED)
        # What `make setup` makes in minutes from the registries.
        for name in (".venv", "node_modules"):
            (self.folder / name).symlink_to(ROOT / name)
        blob, queue, table, _ = self._ports
        state = self.folder / ".devhost"
        state.mkdir()
        (state / "ports.json").write_text(json.dumps({"blob": blob, "queue": queue, "table": table}))

    def moved(self, text: str) -> str:
        """The text with the ports of this run."""
        blob, queue, table, app = self._ports
        account = _azurite(blob, queue, table)
        for before, after in (
            ("127.0.0.1:7071", f"127.0.0.1:{app}"),
            ("127.0.0.1:10000", f"127.0.0.1:{blob}"),
            ("UseDevelopmentStorage=true", f"'{account}'"),
            ("make start", f"make start PORT={app}"),
        ):
            text = text.replace(before, after)
        return text

    def run(self, block: Block) -> str:
        """Its output; AssertionError if it fails, or a shown line is missing."""
        kept = self.scratch / "environment"
        before = f". {kept}\n" if kept.exists() else ""
        script = f"set -e\n{before}{self.moved(block.text)}\nexport -p > {kept}\n"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder, env=self._environ(), capture_output=True, text=True, timeout=SECONDS,
        )  # fmt: skip
        output = done.stdout + done.stderr
        assert done.returncode == 0, f"{block.text}\n{output}"
        self._expect(block, output)
        return output

    @contextmanager
    def running(self, block: Block) -> Iterator[None]:
        """The block in a terminal of its own until the end, which is Ctrl-C."""
        log = self.scratch / "terminal.log"
        with log.open("wb") as out:
            child = subprocess.Popen(
                ["bash", "-c", f"exec {self.moved(block.text)}"],
                cwd=self.folder, env=self._environ(), stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        try:
            until = time.monotonic() + SECONDS
            while READY not in (said := log.read_text("utf-8", "replace")):
                assert child.poll() is None, said
                assert time.monotonic() < until, said
                time.sleep(0.1)
            self._expect(block, said)
            yield
        finally:
            # As a terminal does: to the whole group.
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGINT)
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                raise

    def _expect(self, block: Block, output: str) -> None:
        for line in block.shown:
            assert shows(output, self.moved(line)), f"the page shows {line!r}, and there came\n{output}"

    def _environ(self) -> dict[str, str]:
        # What this test was started with is none of the reader's.
        own = ("MAKE", "MFLAGS", "MOBEXPORT_", "DATA_STORAGE", "EXPORTS_CONFIG", "PYTHONPATH")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        # The command line's default is the port that was moved; this machine's profiles are not the page's.
        url = f"http://127.0.0.1:{self._ports[3]}"
        home = {"HOME": str(self.scratch), "XDG_CONFIG_HOME": str(self.scratch)}
        return {**kept, **home, "MOBEXPORT_URL": url, "NO_PROXY": "127.0.0.1"}


def read_along(page: str, folder: Path) -> list[Block]:
    """Run a page's blocks from the first to the last; those that were run."""
    (folder / "scratch").mkdir()
    reader = Reader(folder / "copy", folder / "scratch")
    done = []
    with ExitStack() as terminals:
        for block in blocks(page):
            if block.mark == OWN_TERMINAL:
                terminals.enter_context(reader.running(block))
            elif block.mark == "":
                reader.run(block)
            else:
                assert block.mark == NEEDS_AZURE, f"no such mark: {block.mark}"
                continue
            done.append(block)
    return done


def _azurite(blob: int, queue: int, table: int) -> str:
    from devhost.azurite import ACCOUNT, PUBLIC_KEY

    host = "http://127.0.0.1"
    return (
        f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={PUBLIC_KEY};"
        f"BlobEndpoint={host}:{blob}/{ACCOUNT};QueueEndpoint={host}:{queue}/{ACCOUNT};"
        f"TableEndpoint={host}:{table}/{ACCOUNT};"
    )
