"""JSON as it stands: members and items as they were written, of any depth, and what no reader can take.

msgspec reads strictly by RFC 8259 and keeps the text of each value; what it cannot do is here: nesting beyond
Python's stack, halves of surrogate pairs, and pieces of text that is broken somewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

MAX_DEPTH: Final = 512
"""A value that passes through may nest this deep; deeper ones break the readers that come after."""
_SHOWN = 1024
_LONG = 256 * 1024
_GLANCE = 8
"""Levels of nesting that a glance sees."""

_STRING = rb'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"'
_TOKEN = re.compile(
    rb"[ \t\n\r]*+(?:(?P<string>" + _STRING + rb")"
    rb"|(?P<scalar>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?|true|false|null)"
    rb"|(?P<mark>[\[\]{},:]))"
)
_SPACE = re.compile(rb"[ \t\n\r]*+")
_LOOSE_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
STRINGS = re.compile(_LOOSE_STRING, re.DOTALL)


def _up_to(marks: bytes) -> re.Pattern[bytes]:
    """Matches up to a mark, over strings and over brackets that match and nest three deep at most."""
    whole = _LOOSE_STRING
    for _ in range(3):
        within = rb'[^"\[\]{}]*+(?:(?:' + whole + rb')[^"\[\]{}]*+)*+'
        whole = _LOOSE_STRING + rb"|\{" + within + rb"\}|\[" + within + rb"\]"
    others = rb'[^"' + marks + rb"]*+"
    return re.compile(others + rb"(?:(?:" + whole + rb")" + others + rb")*+([" + marks + rb"])", re.DOTALL)


BRACKET = _up_to(rb"\[\]{}")
_MARK = _up_to(rb"\[\]{},")
_NAME = re.compile(rb"[ \t\n\r]*+(" + _LOOSE_STRING + rb")[ \t\n\r]*+:", re.DOTALL)
_JOINT = re.compile(rb"\}[ \t\n\r]*\{")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_VALUE: tuple[str, ...] = ("string", "scalar", "[", "{")
_CLOSER = {"[": "]", "{": "}"}
_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_NO_MARKS = bytes(set(range(256)) - set(b'[]{}"'))

_any = msgspec.json.Decoder(msgspec.Raw).decode
raw_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
"""The members of an object, by name, each as it stands; raises what msgspec raises."""
raw_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
"""The items of an array as they stand; raises what msgspec raises."""
string = msgspec.json.Decoder(str).decode
"""The value of a string; raises what msgspec raises."""
quote = msgspec.json.Encoder().encode
"""A value as JSON."""


FAILS: Final = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
"""Errors of decoding."""


class NotJson(ValueError):
    """The text is no JSON by RFC 8259."""


def members(text: bytes) -> dict[str, bytes] | None:
    """The members of an object: name to the text of the value; None for other JSON. Raises NotJson.

    Of members with one name the last counts. The text must have no halves of surrogate pairs (`tame`).
    """
    try:
        _any(text)
        return {name: bytes(value) for name, value in raw_members(text).items()}
    except RecursionError:
        return _deep_members(text)
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise NotJson from None


def minified(text: bytes) -> bytes:
    """JSON without the whitespace between its tokens."""
    return msgspec.json.format(text, indent=-1)


def is_too_deep(token: bytes) -> bool:
    """Whether JSON nests deeper than MAX_DEPTH."""
    if len(token) <= 2 * MAX_DEPTH or token.count(b"[") + token.count(b"{") <= MAX_DEPTH:
        return False
    brackets = STRINGS.sub(b"", token).translate(_SQUARE, _NO_BRACKETS)
    if b"[" * (MAX_DEPTH + 1) in brackets:
        return True
    for _ in range(MAX_DEPTH):
        if not brackets:
            return False
        # One level less: the innermost pairs go.
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def is_whole(text: bytes) -> bool:
    """Whether brackets match, and the last one closes the first one.

    False too where a glance cannot tell: at deep nesting, at brackets in strings, where anything is escaped.
    """
    if b"\\" in text:
        return False
    # The first quote opens a string: without a bracket in it the one that closes it comes next, and so on.
    brackets = text.translate(None, _NO_MARKS).replace(b'""', b"")
    within = brackets[1:-1]
    for _ in range(_GLANCE):
        if within:
            within = within.replace(b"{}", b"").replace(b"[]", b"")
    return not within and brackets[:1] + brackets[-1:] in (b"{}", b"[]") and len(brackets) > 1


def tame(text: bytes) -> bytes:
    """The text with U+FFFD for halves of surrogate pairs, which UTF-8 cannot say; cut texts have them."""
    if not _SURROGATE.search(text):
        return text
    return _ESCAPE.sub(lambda found: b"\\ufffd" if found[1] else found[0], text)


def shown(text: bytes) -> str:
    """A text as a reject shows it: bytes that are no UTF-8 as `\\xNN`, long ones cut."""
    if len(text) <= _LONG:
        return text.decode(errors="backslashreplace")
    return f"{text[:_SHOWN].decode(errors='backslashreplace')[:_SHOWN]}… [cut: {len(text)} bytes]"


def loose_pairs(text: bytes) -> list[tuple[bytes, bytes]]:
    """The members of an object that is broken somewhere, as far as brackets and strings tell them apart.

    Names as they stand, quotes included; neither they nor the values need be JSON. Raises NotJson if it is no
    object, or nothing can be told apart.
    """
    found = []
    for part in _loose_parts(text, b"{"):
        if name := _NAME.match(part):
            found.append((name[1], part[name.end() :].strip(b" \t\n\r")))
        elif part.strip(b" \t\n\r"):
            raise NotJson
    return found


def loose_members(text: bytes) -> dict[str, bytes]:
    """The same by name; names that are no text are left out. Raises NotJson."""
    found = {}
    for name, value in loose_pairs(text):
        try:
            found[string(name)] = value
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return found


def loose_items(text: bytes) -> list[bytes]:
    """The items of an array that is broken somewhere; empty ones (of a comma too many) are left out.

    Raises NotJson if it is no array.
    """
    parts = (part.strip(b" \t\n\r") for part in _loose_parts(text, b"["))
    return [part for part in parts if part]


def joined_objects(text: bytes) -> Iterator[bytes]:
    """The objects of a text that is several of them with nothing but whitespace between; none of others."""
    if not _JOINT.search(text):
        return
    try:
        count = sum(1 for _ in _object_spans(text))
    except NotJson:
        return
    if count > 1:
        yield from (text[start:end] for start, end in _object_spans(text))


def _object_spans(text: bytes) -> Iterator[tuple[int, int]]:
    at = skip(text, 0)
    while at < len(text):
        if text[at : at + 1] != b"{":
            raise NotJson
        start, at, depth = at, at + 1, 1
        while depth:
            if not (found := BRACKET.match(text, at)):
                raise NotJson
            at = found.end()
            depth += 1 if found[1] in b"[{" else -1
        yield start, at
        at = skip(text, at)


def _loose_parts(text: bytes, opening: bytes) -> list[bytes]:
    """What stands between the commas of the outermost brackets."""
    at = skip(text, 0)
    if text[at : at + 1] != opening:
        raise NotJson
    at += 1
    start, depth, parts = at, 0, []
    while found := (BRACKET if depth else _MARK).match(text, at):
        at = found.end()
        mark = found[1]
        if mark in b"[{":
            depth += 1
        elif mark == b"," and depth == 0:
            parts.append(text[start : at - 1])
            start = at
        elif mark in b"]}":
            depth -= 1
            if depth < 0:
                parts.append(text[start : at - 1])
                return parts
    raise NotJson


def _deep_members(text: bytes) -> dict[str, bytes] | None:
    """`members` without recursion, for text nested deeper than Python's stack."""
    found: dict[str, bytes] = {}
    stack: list[str] = []
    name, start, at = b"", 0, 0
    allowed, is_name = _VALUE, False
    while allowed:
        token = _TOKEN.match(text, at)
        kind = ((token["mark"] or b"").decode() or str(token.lastgroup)) if token else ""
        if token is None or kind not in allowed:
            raise NotJson
        if len(stack) == 1 and kind in _VALUE:
            start = token.start(token.lastgroup or 0)
        at = token.end()
        if kind in "[{,":
            stack += kind.strip(",")
            is_name = stack[-1] == "{"
            allowed = ("string",) if is_name else _VALUE
            if kind != ",":
                allowed = (*allowed, _CLOSER[kind])
        elif kind == ":":
            allowed, is_name = _VALUE, False
        elif is_name and kind == "string":
            allowed = (":",)
            if len(stack) == 1:
                name = text[start:at]
        else:
            if kind in ("]", "}"):
                stack.pop()
            allowed = (",", _CLOSER[stack[-1]]) if stack else ()
            if stack == ["{"]:
                found[string(name)] = text[start:at]
    if skip(text, at) != len(text):
        raise NotJson
    return found if text[skip(text, 0) : skip(text, 0) + 1] == b"{" else None


def skip(text: bytes, at: int) -> int:
    """The place of the next byte that is no whitespace."""
    found = _SPACE.match(text, at)
    return found.end() if found else at
