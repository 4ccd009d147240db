"""Output of the demo: plain lines that can be kept, and one live line if there is a terminal."""

import re
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

# A line with this beginning shows progress; it differs from run to run.
SEEN = "   · "
BEGIN, END = "<!-- demo transcript -->", "<!-- /demo transcript -->"
_SAME = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"snapshot=\d{4}-\d\d-\d\d"), "snapshot=DAY"),
    (re.compile(r"(-(?:device|push-[a-z]+|tag|token)-)\d{4}-\d\d-\d\d-[0-9a-f]{10}"), r"\1DAY-HASH"),
    (re.compile(r"\b\d{14,}[0-9a-z-]*|\b[0-9a-f]{16,}\b"), "ID"),
    (re.compile(r"\b\d+(\.\d+)? s\b"), "N s"),
    (re.compile(r"\bpid \d+"), "pid N"),
    (re.compile(r"\b\d+ of \d+ exports unfinished"), "N of N exports unfinished"),
    (re.compile(r"(?:\S*/)?\.run/demo|/\S*demo-state"), "STATE"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:PORT"),
)


class Story:
    """Prints, and remembers what it printed."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.started = time.monotonic()
        self._live = sys.stdout.isatty()
        self._bold = "\033[1m{}\033[0m" if self._live else "{}"
        self._steps = 0

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self.started

    def step(self, title: str) -> None:
        """The next step's title."""
        self._steps += 1
        self.title(f"{self._steps}. {title}")

    def title(self, title: str) -> None:
        """A line of its own, with air above it."""
        self.say("")
        self.lines.append(title)
        self._put(self._bold.format(title))

    def say(self, line: str) -> None:
        """One line."""
        self.lines.append(line)
        self._put(line)

    def seen(self, line: str) -> None:
        """One line of progress."""
        self.say(f"{SEEN}{line}")

    def live(self, line: str) -> None:
        """Replace the line at the bottom of a terminal; nothing elsewhere."""
        if self._live:
            print(f"\r\033[K{line[:150]}", end="", flush=True)

    def table(self, rows: Sequence[Sequence[str]], indent: str = "   ") -> None:
        """Columns as wide as they need to be, the first to the left, the others to the right."""
        widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = [
                cell.ljust(width) if place == 0 else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            self.say((indent + " ".join(cells)).rstrip())

    def _put(self, line: str) -> None:
        print(f"\r\033[K{line}" if self._live else line, flush=True)


def normalised(lines: Iterable[str]) -> list[str]:
    """The lines without what differs from run to run."""
    kept = []
    for line in lines:
        if line.startswith(SEEN):
            continue
        text = line.rstrip()
        for pattern, same in _SAME:
            text = pattern.sub(same, text)
        if text:
            kept.append(re.sub(r" {2,}", "  ", text))
    return kept


def transcript_in(text: str) -> list[str] | None:
    """The lines of the transcript in a Markdown text, or None if it has none."""
    found = re.search(re.escape(BEGIN) + r"\s*```\w*\n(.*?)\n```\s*" + re.escape(END), text, re.DOTALL)
    return found[1].splitlines() if found else None


def differs(told: Iterable[str], real: Iterable[str]) -> str | None:
    """The first line of a transcript that the demo did not print in that order, or None.

    A line `…` in the transcript stands for any lines that were left out.
    """
    rest = [line for line in normalised(real) if not line.startswith("$")]
    place, loose = 0, False
    for line in normalised(told):
        if line.startswith("$"):
            continue
        if line.strip() in ("…", "..."):
            loose = True
            continue
        if loose:
            place = next((at for at in range(place, len(rest)) if rest[at] == line), len(rest))
        if place >= len(rest) or rest[place] != line:
            printed = rest[place] if place < len(rest) else "nothing"
            return f"the transcript has {line!r}, the demo printed {printed!r}"
        place, loose = place + 1, False
    return None if loose or place == len(rest) else f"the transcript ends before {rest[place]!r}"


def keep(lines: Iterable[str], file: Path) -> None:
    """Write the transcript: between its markers if the file has them, else as the whole file."""
    text = "\n".join(line for line in lines if not line.startswith(SEEN)).strip("\n")
    before = file.read_text("utf-8") if file.exists() else ""
    start, end = before.find(BEGIN), before.find(END)
    if 0 <= start < end:
        block = f"{BEGIN}\n```\n$ make demo\n{text}\n```\n"
        file.write_text(before[:start] + block + before[end:], "utf-8")
    else:
        file.write_text(text + "\n", "utf-8")
