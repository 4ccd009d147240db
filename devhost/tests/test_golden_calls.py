"""The calls recorded from the real Functions host, made again here: codes, headers, bodies and histories.

`golden/apps` holds the probe apps, `golden/calls` what the real host answered, `golden/differences.json`
every difference that is on purpose. See `golden/README.md`.
"""

from __future__ import annotations

import copy
import fcntl
import http.client
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden"
APP_OF = {"probe": "probe", "extras1": "extras", "extras2": "extras", "errors": "errors"}
RECORDED: dict[str, list[dict[str, Any]]] = {
    name: [json.loads(line) for line in (GOLDEN / "calls" / f"{name}.ndjson").read_text("utf-8").splitlines()]
    for name in APP_OF
}
DIFFERENCES: list[dict[str, Any]] = json.loads((GOLDEN / "differences.json").read_text("utf-8"))
IGNORED_HEADERS = {"date", "server", "connection"}
LONGEST = 200_000
"""Characters: of longer bodies the recordings hold the first 1,000."""
Answer = dict[str, Any]


# --- masks: what differs from run to run of the real host itself ---------------------------------------

_TIME = re.compile(r"(?!0001|2026-01-02T)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?")
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HEX = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
_KEY = re.compile(r'code=[^&"\\]+')
_LOCAL = re.compile(r"https?://(?:127\.0\.0\.1|localhost):(\d+)")
_HOST = re.compile(r"127\.0\.0\.1:(\d+)")
_NAMES = re.compile(r"known orchestrator functions: ((?:'\w+'(?:, )?)+)")
_STACK = re.compile(r"Stack:(?=[ \n]).*?(\n\))?$", re.DOTALL)
_FRAMES = re.compile(r"   at [^\"]*?(?=\"|$)", re.DOTALL)
_CUT = re.compile(r'"RemoteStackTrace":"  File.*$', re.DOTALL)
_ADDRESS = re.compile(r"object at 0x[0-9a-f]+")
_RUN = re.compile(r"(.)\1{199,}", re.DOTALL)
_TIMES = "\u00d7"
_MASKED_MEMBERS = {
    "processUptime": "⟨ms⟩",
    "RemoteStackTrace": "…",
    "StackTrace": "…",
    "Date": "…",
    "Server": "…",
    "Content-Length": "⟨n⟩",
}
_UNORDERED = {"headers", "params", "route"}
"""Maps whose order the real host does not keep."""
_DETAILS = '{"$type":'


@dataclass(frozen=True)
class Masks:
    """What is particular to one run: the port of the SDK's own address, and folders with their names."""

    rpc_port: str = "17071"
    folders: Mapping[str, str] = field(default_factory=dict)


def mask_text(text: str, masks: Masks) -> str:
    """One string value. A serialised exception inside it is masked member by member."""
    before, found, rest = text.partition(_DETAILS)
    if found:
        try:
            value, end = json.JSONDecoder().raw_decode(found + rest)
        except ValueError:
            text = _CUT.sub("…", text)
        else:
            inner = json.dumps(mask(value, masks), ensure_ascii=False, separators=(",", ":"))
            return mask_text(before, masks) + inner + mask_text((found + rest)[end:], masks)
    text = _FRAMES.sub(
        "   at …", _STACK.sub(lambda m: "Stack: …" + (m[1] or ""), _ADDRESS.sub("object", text))
    )
    text = _RUN.sub(lambda m: f"⟦{m[1]}{_TIMES}{len(m[0])}⟧", text)
    text = _TIME.sub(lambda m: f"⟨time{'.f' if m[1] else ''}⟩{m[2] or ''}", text)
    for folder, name in masks.folders.items():
        text = text.replace(folder, name)
    text = _KEY.sub("code=⟨key⟩", _HEX.sub("⟨hex⟩", _GUID.sub("⟨guid⟩", text)))
    text = _LOCAL.sub(lambda m: "⟨rpc⟩" if m[1] == masks.rpc_port else "⟨origin⟩", text)
    text = _HOST.sub("⟨host⟩", text)
    return _NAMES.sub(lambda m: "known orchestrator functions: " + ", ".join(sorted(m[1].split(", "))), text)


def mask(value: Any, masks: Masks) -> Any:
    if isinstance(value, str):
        return mask_text(value, masks)
    if isinstance(value, list):
        return [mask(item, masks) for item in value]
    if isinstance(value, dict):
        masked = {
            key: _MASKED_MEMBERS.get(key) or mask(item, masks)
            if key in _MASKED_MEMBERS and item
            else mask(item, masks)
            for key, item in value.items()
        }
        for key in _UNORDERED & masked.keys():
            if isinstance(masked[key], dict):
                masked[key] = dict(sorted(masked[key].items()))
        return masked
    return value


def style(text: str, value: Any) -> str:
    """How the JSON is written: that is part of the answer."""
    for name, options in (
        ("compact", {"separators": (",", ":"), "ensure_ascii": False}),
        ("indented", {"indent": 2, "ensure_ascii": False}),
        ("python", {}),
    ):
        if json.dumps(value, **options) == text:
            return name
    return "other"


def answer(status: int, headers: dict[str, str], text: str, masks: Masks, *, head: bool = False) -> Answer:
    """An answer in the form that is compared (and stored)."""
    kept = {k.lower(): mask_text(v, masks) for k, v in headers.items() if k.lower() not in IGNORED_HEADERS}
    if kept.get("content-length", "0") != "0":
        kept["content-length"] = "⟨n⟩"
    if len(text) > LONGEST or head:
        return {"status": status, "headers": kept, "head": mask_text(text[:1000], masks)}
    try:
        value = json.loads(text)
    except ValueError:
        return {"status": status, "headers": kept, "text": mask_text(text, masks)}
    return {"status": status, "headers": kept, "style": style(text, value), "json": mask(value, masks)}


# --- comparing ------------------------------------------------------------------------------------------


def differences(wanted: Any, got: Any, place: str = "") -> Iterator[str]:
    """The places in which two answers differ; the order of object members counts."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        for key in wanted.keys() | got.keys():
            below = f"{place}.{key}" if place else str(key)
            if key not in got:
                yield f"{below} (missing)"
            elif key not in wanted:
                yield f"{below} (extra)"
            else:
                yield from differences(wanted[key], got[key], below)
        if place.startswith("json") and wanted.keys() == got.keys() and list(wanted) != list(got):
            yield f"{place} (order)"
    elif isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        for index, (one, other) in enumerate(zip(wanted, got, strict=True)):
            yield from differences(one, other, f"{place}.{index}")
    elif type(wanted) is not type(got) or wanted != got:
        yield place


def _ended(got: Answer) -> bool:
    body = got.get("json")
    if isinstance(body, dict):
        return body.get("runtimeStatus") in TERMINAL
    return any(f'"runtimeStatus":"{status}"' in got.get("head", "") for status in TERMINAL)


@dataclass
class Compared:
    run: str
    number: int
    call: dict[str, Any]
    wanted: Answer
    got: Answer
    places: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        return f"{self.run}:{self.number} {self.call['method']} {self.call['path']}"


_INBOUND = {"TaskCompleted", "TaskFailed", "SubOrchestrationInstanceCompleted"}


_NOT_RUN = re.compile(r"@[^@]+@.*|[gxy]-(counter_user|entity_err|ent|http_call(-inner)?|once_bad)")
"""Instances that live on what devhost does not run: in lists they are missing, or ended otherwise."""


def _sorted_list(instances: list[Any]) -> list[Any]:
    kept = [one for one in instances if not _NOT_RUN.fullmatch(str(one.get("instanceId")))]
    return sorted(kept, key=lambda one: (str(one.get("instanceId")), json.dumps(one)))


def _any_order(value: Answer, call: dict[str, Any]) -> Answer:
    """What comes in any order on the real host: parallel completions, the list of instances."""
    body = value.get("json")
    path = call["path"]
    if isinstance(body, dict) and re.search(r"instances/(g-fan|g-parent|y-parent)\?", path):
        events, group = [], []
        for event in [*body.get("historyEvents", []), {}]:
            if event.get("EventType") in _INBOUND:
                group.append(event)
                continue
            events += [*sorted(group, key=json.dumps), event]
            group = []
        body["historyEvents"] = events[:-1]
    if path.startswith("/api/typed/") and isinstance(body, dict):
        value["json"] = dict(sorted(body.items()))
    if isinstance(body, list) and re.search(r"/instances(\?|$)", path):
        value["json"] = _sorted_list(body)
    if re.search(r"/instances(\?|$)", path) and value["headers"].get("x-ms-continuation-token"):
        value["headers"]["x-ms-continuation-token"] = "⟨token⟩"
    return value


# --- the host and the driver ----------------------------------------------------------------------------


class HostProcess:
    """`python -m devhost start` over a copy of a probe app."""

    def __init__(self, app: str, folder: Path) -> None:
        shutil.copytree(GOLDEN / "apps" / app, folder / "app")
        self.trace = folder / "trace.ndjson"
        environment = {k: v for k, v in os.environ.items() if v != "UseDevelopmentStorage=true"} | {
            "PROBE_TRACE": str(folder),
            "PROBE_DIR": str(folder),
            "TICK": "0 0 0 1 1 *",
            "TICK2": "0 0 0 1 1 *",
        }
        command = [sys.executable, "-m", "devhost", "start", "--port", "0"]
        command += ["--script-root", str(folder / "app"), "--state", str(folder / "state")]
        self._log = (folder / "log").open("w+")
        self._process = subprocess.Popen(command, env=environment, stdout=self._log, stderr=self._log)
        try:
            self.netloc = self._find(r"devhost is listening on http://(\S+)")
            rpc_port = self._find(r"RPC endpoint: http://127.0.0.1:(\d+)/")
        except BaseException:
            self.stop()
            raise
        self.masks = Masks(rpc_port, {str(folder / "app"): "{app}"})

    def log(self) -> str:
        return Path(self._log.name).read_text("utf-8", "replace")

    def _find(self, pattern: str) -> str:
        until = time.monotonic() + 90
        while time.monotonic() < until and self._process.poll() is None:
            if found := re.search(pattern, self.log()):
                return found[1]
            time.sleep(0.05)
        raise AssertionError(f"the host did not start:\n{self.log()}")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()

    def call(self, call: dict[str, Any], headers: dict[str, Any]) -> Answer:
        connection = http.client.HTTPConnection(self.netloc, timeout=60)
        body = _expanded(call.get("request"), f"http://{self.netloc}")
        try:
            connection.putrequest(call["method"], call["path"])
            for name, values in headers.items():
                for value in values if isinstance(values, list) else [values]:
                    connection.putheader(name, value)
            chunked = "Transfer-Encoding" in headers
            if not chunked and (body is not None or call["method"] in ("POST", "PUT", "PATCH")):
                connection.putheader("Content-Length", str(len(body or b"")))
            connection.endheaders(body, encode_chunked=chunked)
            got = connection.getresponse()
            text = got.read().decode("utf-8", "replace")
            joined: dict[str, str] = dict(got.getheaders())
            return answer(got.status, joined, text, self.masks, head="head" in call)
        finally:
            connection.close()


def _expanded(text: str | None, base: str) -> bytes | None:
    if text is None:
        return None
    if text == "\ufffd\0raw":
        return b"\xff\0raw"
    return re.sub(f"⟦(.){_TIMES}(\\d+)⟧", lambda m: m[1] * int(m[2]), text).replace("{base}", base).encode()


def _headers(run: str, call: dict[str, Any]) -> dict[str, Any]:
    """What the recording's driver sent by itself."""
    headers = dict(call.get("headers", {}))
    if "request" in call and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = "application/json"
    if call.get("headers") == {}:
        headers.pop("Content-Type", None)
    if run == "probe":
        headers |= {"User-Agent": "Python-urllib/3.11", "Connection": "close"}
    return headers


TERMINAL = ("Completed", "Failed", "Terminated")
SHORT = 0.25
"""Seconds without a change: what a recorded pause before a call that changes something becomes."""
_PARTS = ("status", "style", "json", "text", "head")


def _settle(host: HostProcess, call: dict[str, Any]) -> None:
    """The driver's pause let the called instance come to rest; that may take longer on a busy machine."""
    found = re.match(r"(/runtime/webhooks/durabletask/instances/[^/?]+)/", call["path"])
    before: Answer | None = None
    for _ in range(50):
        time.sleep(SHORT)
        if found is None:
            return
        now = host.call({"method": "GET", "path": f"{found[1]}?showHistory=true"}, {})
        if now == before and '"Pending"' not in json.dumps(now):
            return
        before = now


def _wanted(run: str, call: dict[str, Any]) -> Answer:
    """What was recorded, in the form of `answer()`."""
    parts = {part: call[part] for part in _PARTS if part in call}
    if "json_of" in call:
        parts["json"] = RECORDED[run][call["json_of"] - 1]["json"]
    return _any_order(copy.deepcopy({"headers": call["answer_headers"], **parts}), call)


def _drive(run: str, folder: Path) -> tuple[list[Compared], dict[tuple[str, int], dict[str, Any]]]:
    """Make the calls of a recording in their order.

    Where the driver slept or polled before it looked, look until the answer is the recorded one, for as long
    as the driver took at most.
    """
    host = HostProcess(APP_OF[run], folder)
    results = []
    token = ""
    try:
        for number, call in enumerate(RECORDED[run], 1):
            patience = call.get("sleep", 0) + call.get("wait", 0)
            looks = call["method"] == "GET" and "/instances/" in call["path"]
            if patience and not looks:
                _settle(host, call)
            headers = _headers(run, call)
            if headers.get("x-ms-continuation-token") not in (None, "garbage"):
                headers["x-ms-continuation-token"] = token
            if "status" not in call:  # made by the driver, but not recorded
                host.call(call, headers)
                continue
            until = time.monotonic() + max(patience, 1) * looks
            wanted = _wanted(run, call)
            while True:
                got = host.call(call, headers)
                token = got["headers"].get("x-ms-continuation-token", token)
                places = sorted(differences(wanted, _any_order(got, call)))
                if not places or time.monotonic() > until or (patience and _ended(got)):
                    break
                time.sleep(0.1)
            results.append(Compared(run, number, call, wanted, got, places))
        return results, executions(host.trace.read_text("utf-8").splitlines(), host.masks)
    finally:
        host.stop()


# --- contexts -------------------------------------------------------------------------------------------

_MARKS = (12, 13)
"""OrchestratorStarted and OrchestratorCompleted: where an episode begins and ends."""
_MESSAGES = (0, 3, 5, 6, 8, 9, 11, 15, 17, 19, 20)


def executions(lines: Iterable[str], masks: Masks) -> dict[tuple[str, int], dict[str, Any]]:
    """By instance and number of its execution: how often the SDK was called, and its longest context, masked.

    Other contexts are beginnings of that one.
    """
    found: dict[tuple[str, int], dict[str, Any]] = {}
    numbers: dict[str, dict[str, int]] = {}
    for line in lines:
        record = json.loads(line)
        if record["kind"] != "in":
            continue
        context = json.loads(record["text"])
        started = next(e for e in context["history"] if e["EventType"] == 0)
        instance = mask_text(context["instanceId"], masks)
        known = numbers.setdefault(instance, {})
        number = known.setdefault(started["OrchestrationInstance"]["ExecutionId"], len(known))
        masked = mask(context, masks)
        for event in masked["history"]:
            if event.get("Details"):
                event["Details"] = "…"
            if event.get("Result"):
                event["Result"] = _masked_result(event["Result"], masks)
        before = found.get((instance, number), {"calls": 0, "context": {"history": []}})
        # The determinism check asks again with shorter histories, and may be killed with the host meanwhile.
        longest = max(before["context"], masked, key=lambda one: len(one["history"]))
        found[instance, number] = {"calls": before["calls"] + 1, "context": longest}
    return found


def _masked_result(text: str, masks: Masks) -> list[Any] | str:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return [style(text, value), mask(value, masks)]


def _unbatched(context: dict[str, Any]) -> dict[str, Any]:
    """The context without the marks of episodes, messages that follow each other in any order: how many
    messages one episode takes depends on the moment."""
    events: list[Any] = []
    group: list[Any] = []
    for event in context["history"]:
        if event["EventType"] in _MESSAGES:
            group.append({**event, "IsPlayed": None})
        elif event["EventType"] not in _MARKS:
            events += [*sorted(group, key=json.dumps), event]
            group = []
    return {**context, "isReplaying": None, "history": [*events, *sorted(group, key=json.dumps)]}


# --- the tests ------------------------------------------------------------------------------------------


@dataclass
class Runs:
    compared: list[Compared]
    contexts: dict[str, dict[tuple[str, int], dict[str, Any]]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Runs:
    """All recordings driven side by side, once, however many test processes there are."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if hasattr(request.config, "workerinput") else own
    with (shared / "golden.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = shared / "golden.pickle"
        if not kept.exists():
            folders = {run: tmp_path_factory.mktemp(run) for run in APP_OF}
            with ThreadPoolExecutor(len(APP_OF)) as pool:
                results = dict(zip(APP_OF, pool.map(lambda r: _drive(r, folders[r]), APP_OF), strict=True))
            made = Runs(
                [one for compared, _ in results.values() for one in compared],
                {run: contexts for run, (_, contexts) in results.items()},
            )
            kept.write_bytes(pickle.dumps((made.compared, made.contexts)))
        compared, contexts = pickle.loads(kept.read_bytes())
    return Runs(compared, contexts)


def _rows(one: Compared, place: str) -> list[dict[str, Any]]:
    return [
        row
        for row in DIFFERENCES
        if one.number in row["calls"].get(one.run, ()) and re.fullmatch(row["places"], place)
    ]


def _show(one: Compared) -> str:
    lines = [one.title, f"  differs at {', '.join(one.places)}"]
    lines += [
        f"  {name}: {json.dumps(value, ensure_ascii=False)[:1500]}"
        for name, value in (("recorded", one.wanted), ("here", one.got))
    ]
    return "\n".join(lines)


def test_given_the_recorded_calls_then_only_listed_differences(
    runs: Runs,
) -> None:
    compared = runs.compared
    disagree = [one for one in compared if one.places]
    unlisted = [one for one in disagree if not all(_rows(one, place) for place in one.places)]
    seen = {(one.run, one.number) for one in disagree}
    gone = [
        f"{run}:{number} {row['what']}"
        for row in DIFFERENCES
        if not row.get("sometimes")
        for run, numbers in row["calls"].items()
        for number in numbers
        if (run, number) not in seen
    ]
    print(f"{len(compared) - len(disagree)} of {len(compared)} recorded calls agree")
    assert not unlisted, "\n".join(map(_show, unlisted))
    assert not gone, f"listed as different, and no longer so: {gone}"


def test_given_the_recorded_contexts_then_the_sdk_is_told_the_same(
    runs: Runs,
) -> None:
    exact, batched, other = [], [], []
    for run, contexts in runs.contexts.items():
        for line in (GOLDEN / "contexts" / f"{run}.ndjson").read_text("utf-8").splitlines():
            recorded = json.loads(line)
            name = f"{run} {recorded['instance']} {recorded['execution']}"
            found = contexts.get((recorded["instance"], recorded["execution"]))
            if found is None:
                other.append(f"{name}: not run here")
                continue
            pair = recorded["context"], found["context"]
            if not list(differences(*pair, "json")):
                exact.append(name)
            elif not (places := list(differences(*map(_unbatched, pair), "json"))):
                batched.append(name)
            else:
                other.append(f"{name}: {places[:6]}")
    print(f"{len(exact)} contexts agree, {len(batched)} but for what one episode took, {len(other)} do not")
    listed = {name for row in DIFFERENCES for name in row.get("contexts", ())}
    unlisted = [text for text in other if text.partition(":")[0] not in listed]
    assert not unlisted, "\n".join(unlisted)


def test_listed_differences_are_all_in_the_docs() -> None:
    docs = (ROOT / "docs" / "real-host.md").read_text("utf-8")
    for row in DIFFERENCES:
        assert f"| {row['what']} |" in docs


def test_given_two_answers_then_every_place_that_differs_is_named() -> None:
    wanted = {"status": 200, "json": {"a": [1, {"b": "x"}], "c": None, "d": 1}}
    got = {"status": 202, "json": {"d": 1, "a": [1, {"b": "y"}], "e": 0}}
    assert set(differences(wanted, got)) == {"status", "json.a.1.b", "json.c (missing)", "json.e (extra)"}
    assert list(differences({"json": {"a": 1, "b": 2}}, {"json": {"b": 2, "a": 1}})) == ["json (order)"]
    assert list(differences({"json": 1}, {"json": True})) == ["json"]


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("at 2026-11-23T20:54:09Z", "at ⟨time⟩Z"),
        ("at 2026-11-23T20:54:09.1234567Z", "at ⟨time.f⟩Z"),
        ("http://127.0.0.1:17071/x?code=abc&y", "⟨rpc⟩/x?code=⟨key⟩&y"),
        ('Stack:   File "a", line 1\n    b\n)', "Stack: …\n)"),
        ("q" * 60_000, "⟦q\u00d760000⟧"),
        ("known orchestrator functions: 'b', 'a'.", "known orchestrator functions: 'a', 'b'."),
        ("2026-01-02T03:04:05Z 0f8fad5b", "2026-01-02T03:04:05Z 0f8fad5b"),
    ],
)
def test_given_a_text_when_masked_then_only_what_varies_is_gone(text: str, masked: str) -> None:
    assert mask_text(text, Masks()) == masked
