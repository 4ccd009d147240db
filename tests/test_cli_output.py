"""Output of the command line: on a terminal, and where there is none."""

import io
import sys

import pytest

from mobexport.cli.output import bar, cell, one_line, print_rows, spinner


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal_of(monkeypatch: pytest.MonkeyPatch) -> _Terminal:
    found = _Terminal()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, found)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return found


def test_given_a_terminal_then_colour_a_spinner_and_a_bar(monkeypatch) -> None:
    terminal = terminal_of(monkeypatch)
    print_rows(("id", "state"), [("[bold]e1", "Failed")])
    assert "\x1b[31mFailed" in terminal.getvalue()
    assert "[bold]e1" in terminal.getvalue()
    with spinner("waiting") as show:
        show("still [red]waiting")
    with bar("pulling", 10) as advance:
        advance(10)
    assert "still [red]waiting" in terminal.getvalue()
    assert "10/10 bytes" in terminal.getvalue()


def test_given_no_terminal_then_plain_columns_and_silence(capsys) -> None:
    print_rows(("id", "n"), [("a", "1"), ("bcd", "10")], right={1})
    with spinner("waiting") as show, bar("pulling", 10) as advance:
        show("still waiting")
        advance(10)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("id    n\na     1\nbcd  10\n", "")


def test_given_text_that_a_terminal_would_obey_then_shown_harmless(capsys) -> None:
    assert one_line("a\x1b[2J\nb\x07") == "a\ufffd[2J b\ufffd"
    assert cell("x" * 100) == "x" * 39 + "…"
    print_rows(("id",), [("\x1b]0;title\x07",)])
    assert "\x1b" not in capsys.readouterr().out
