"""Hostile callers of both HTTP APIs: container URLs, requests, bodies, races."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from running_app import TASKS

from benchmarks.attack.scenario import NotHeld, Scenario
from benchmarks.attack.stage import FIRST, HEALTHY, VERSION, WELL, Ends, Stage

URLS = "Container URL"
REQUESTS = "Odd request"
RACES = "Race"
HOST = "team.blob.core.windows.net"
SIGNATURE = "U0VDUkVULVNFQ1JFVA"
SAS = f"sv=2024-11-04&sr=c&sp=cw&se=2999-01-01&sig={SIGNATURE}"
DAY = str(FIRST)
TASK = {"exportFormat": "JsonBlob", "startDate": DAY, "endDate": DAY}
EXPORT = {"exportType": "Event", "app": HEALTHY, "startDate": DAY, "endDate": DAY}
BAD_URLS = (
    "",
    "landing-1",
    f"http://{HOST}/landing-1?{SAS}",
    f"ftp://{HOST}/landing-1?{SAS}",
    f"https://evil.example/landing-1?{SAS}",
    f"https://{HOST}.evil.example/landing-1?{SAS}",
    f"https://{HOST}@evil.example/landing-1?{SAS}",
    f"https://user:pass@{HOST}/landing-1?{SAS}",
    f"https://evil.example\\@{HOST}/landing-1?{SAS}",
    f"https://169.254.169.254/landing-1?{SAS}",
    f"https://2130706433/landing-1?{SAS}",
    f"https://[fe80::1%25eth0]/landing-1?{SAS}",
    f"https://{HOST}:8443/landing-1?{SAS}",
    f"https://{HOST}\n/landing-1?{SAS}",
    f"https://{HOST}/landing-1/../x?{SAS}",
    f"https://{HOST}/$root?{SAS}",
    f"https://{HOST}/landing%2d1?{SAS}",
    f"https://{HOST}/landing-1",
    f"https://{HOST}/landing-1?{SAS}#x",
    f"https://{HOST}/landing-1?{SAS}&sp=r",
    f"https://{HOST}/landing-1?{SAS}&spr=http",
    f"https://{HOST}/landing-1?{SAS}&comp=list&restype=container",
    f"https://{HOST}/landing-1?{SAS}&code=x",
    f"https://{HOST}/landing-1?{SAS}&rsct={'x' * 8192}",
    f"https://{HOST}/landing-1?{SAS.replace('sp=cw', 'sp=rl')}",
    f"https://{HOST}/landing-1?{SAS.replace('2999', '1999')}",
    f"https://{HOST}/landing-1?{SAS}\r\nx-ms-version: 1",
    f"https://t\u00e9am.blob.core.windows.net/landing-1?{SAS}",
    "https://[bad/landing-1?x",
    "x" * 100_000,
)
BODIES: dict[str, bytes] = {
    "no body": b"",
    "a list": b"[1]",
    "no UTF-8": b"\xff\xfe",
    "200,000 brackets": b"[" * 200_000,
    "100 objects in each other": b'{"x":' * 100 + b"1" + b"}" * 100,
    "half a surrogate pair": b'{"app": "\\ud800"}',
    "half a pair as a name": b'{"\\udfff": 1}',
    "5,000 digits": b'{"startDate": ' + b"9" * 5000 + b"}",
    "1e999": b'{"parallel": 1e999}',
    "NaN": b'{"description": NaN}',
    "a text of a MiB": b'{"x": "' + b"x" * 1024 * 1024 + b'"}',
    "60,000 unknown keys": json.dumps({f"k{number:06}": 0 for number in range(60_000)}).encode(),
    "the year 1": json.dumps({**EXPORT, "startDate": "0001-01-01"}).encode(),
    "the year 9999": json.dumps({**EXPORT, "endDate": "9999-12-31"}).encode(),
    "digits of another script": json.dumps({**EXPORT, "startDate": "\u0662025-03-23"}).encode(),
    "a long app": json.dumps({**EXPORT, "app": "x" * 5000}).encode(),
    "an object as type": json.dumps({**EXPORT, "exportType": {"a": 1}}).encode(),
    "an offset before year 1": json.dumps(
        {"app": HEALTHY, "exportType": "Push", "campaignType": "Poll",
         "campaignWindowStart": "0001-01-01T00:00:00+14:00", "campaignWindowEnd": "2025-01-01T00:00:00Z"}
    ).encode(),
}  # fmt: skip
PATHS = ("/api/exports", "/api/batches", f"{TASKS.format(app=HEALTHY)}/events{VERSION}")
GETS = {
    "an id with a NUL": "/api/exports/a%00b",
    "an id with half a pair": "/api/exports/%ED%A0%80",
    "an id of 5,000 characters": f"/api/exports/{'x' * 5000}",
    "an id that climbs": "/api/exports/..%2f..%2fx",
    "a batch with a quote": "/api/batches/a'%20or%20'1'='1",
    "a task with a NUL": f"{TASKS.format(app=HEALTHY)}/a%00b{VERSION}",
    "a forged continuation": "/api/exports?continuation=W3t9XQ==",
    "a continuation of brackets": f"/api/exports?continuation={'W1tb' * 1000}",
    "a limit of 5,000 digits": f"/api/exports?limit=1{'0' * 5000}",
    "a limit of another script": "/api/exports?limit=%D9%A1",
    "a filter with a quote": "/api/exports?app=a'%20or%20'1'='1",
    "an instant before year 1": "/api/exports?createdFrom=0001-01-01T00:00:00%2B14:00",
    "an unknown option": "/api/exports?x=1",
    "a $top without end": f"{TASKS.format(app=HEALTHY)}{VERSION}&$top={'9' * 400}",
    "a $orderby of its own": f"{TASKS.format(app=HEALTHY)}{VERSION}&$orderby=x;drop",
}
POST = b"POST /api/exports HTTP/1.1\r\nHost: x\r\n"
RAW: dict[str, bytes] = {
    "no HTTP": b"\x00\xff\x00\r\n\r\n",
    "a request line of 20 KB": b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "200 headers": b"GET /api/health HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    "a header of 100 KB": b"GET /api/health HTTP/1.1\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
    "a negative length": POST + b"Content-Length: -1\r\n\r\n",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a length of 30 digits": POST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n",
    "a chunk of no length": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "another method": b"FROB /api/exports HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
}


def refused(status: int, answer: Any, wanted: range = range(400, 500), most: int = 50_000) -> None:
    """NotHeld unless the answer is a clear refusal that repeats no secret and is not long."""
    text = str(answer)
    if status not in wanted:
        raise NotHeld(f"answered {status}: {text[:200]}")
    if SIGNATURE in text:
        raise NotHeld("the signature is repeated")
    if len(text) > most:
        raise NotHeld(f"an answer of {len(text):,} characters")


def url_scenarios(stage: Stage) -> Iterator[Scenario]:
    """A task and an export into each bad container URL."""
    for number, url in enumerate(BAD_URLS):

        def task(url: str = url) -> None:
            refused(*stage.post(PATHS[2], {**TASK, "containerUrl": url}))

        def export(url: str = url) -> None:
            refused(*stage.post(PATHS[0], {**EXPORT, "containerUrl": url}))

        yield Scenario(URLS, f"{number}, of a task: {url[:60]!r}", task)
        if url:  # An export without one is an export into the app's own.
            yield Scenario(URLS, f"{number}, of an export: {url[:60]!r}", export)


def request_scenarios(stage: Stage, chance: random.Random, *, short: bool) -> Iterator[Scenario]:
    """Bodies to each path that takes one, GETs, bytes that are hardly HTTP, and bodies of the seed."""
    bodies = dict(BODIES)
    for number in range(5 if short else 40):
        bodies[f"changed bytes, {number + 1}"] = changed(chance)
    for name, body in bodies.items():
        for path in PATHS:

            def send(path: str = path, body: bytes = body) -> None:
                status, answer = stage.ask("POST", path, body, {"Content-Type": "application/json"})
                if status not in (200, 202):  # changed bytes can be as good as they were
                    refused(status, answer)

            yield Scenario(REQUESTS, f"{name} to {path.rpartition('/')[2]}", send)
    for name, path in GETS.items():

        def get(path: str = path) -> None:
            status, answer = stage.ask("GET", path)
            if status != 200:  # a filter that nothing fits
                refused(status, answer)

        yield Scenario(REQUESTS, name, get)
    for name, data in RAW.items():
        yield Scenario(REQUESTS, name, raw_judge(stage, data))


def changed(chance: random.Random) -> bytes:
    """The body of a good request with some bytes changed."""
    text = bytearray(json.dumps(EXPORT).encode())
    for _ in range(chance.randint(1, 5)):
        text[chance.randrange(len(text))] = chance.randrange(256)
    return bytes(text)


def raw_judge(stage: Stage, data: bytes) -> Callable[[], None]:
    """Sends bytes; the host answers with no 5xx, or hangs up, or waits for more, and stays alive."""

    def judge() -> None:
        parts = urlsplit(stage.app.url)
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=5) as connection:
            try:
                connection.sendall(data)
                answer = connection.recv(4096)
            except OSError:
                answer = b""
        if answer.startswith(b"HTTP/1.1 5") and not answer.startswith((b"HTTP/1.1 501", b"HTTP/1.1 505")):
            raise NotHeld(f"answered {answer[:100]!r}")
        if stage.ask("GET", "/api/exports?limit=1")[0] != 200:
            raise NotHeld("the app does not answer any more")

    return judge


def slow_senders(stage: Stage) -> Scenario:
    """Forty callers that begin a request and never end it."""

    def judge() -> None:
        parts = urlsplit(stage.app.url)
        held = [socket.create_connection((parts.hostname or "", parts.port or 0), 5) for _ in range(40)]
        try:
            for one in held:
                one.sendall(b"POST /api/exports HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            stage.healthy()
        finally:
            for one in held:
                one.close()

    return Scenario(REQUESTS, "40 bodies that never end", judge)


def flood(stage: Stage) -> Scenario:
    """A body of 30 MB, refused before it is read."""

    def judge() -> None:
        try:
            status, answer = stage.ask("POST", "/api/exports", b"x" * 30_000_000)
        except NotHeld:
            return  # hung up while it was sent: refused as well
        # 500 without a body is the real host's answer to a body beyond its limit.
        refused(status, answer, range(400, 501))

    return Scenario(REQUESTS, "a body of 30 MB", judge)


def race_scenarios(stage: Stage, *, short: bool) -> Iterator[Scenario]:
    """Equal requests and cancels at the same moment."""
    many = 10 if short else 50

    def equal() -> None:
        day = next(stage.days)
        with ThreadPoolExecutor(many) as pool:
            ids = set(pool.map(lambda _: stage.request(HEALTHY, day), range(many)))
        if len(ids) != 1:
            raise NotHeld(f"{len(ids)} exports of one request")
        export = stage.expect(ids.pop(), WELL, 120)
        if export["attempt"] != 1:
            raise NotHeld(f"attempt {export['attempt']}")

    def cancelled() -> None:
        export_id = stage.request(HEALTHY)
        with ThreadPoolExecutor(many) as pool:
            answers = list(
                pool.map(lambda _: stage.post(f"/api/exports/{export_id}/cancel", {}), range(many))
            )
        if odd := {status for status, _ in answers} - {202, 409}:
            raise NotHeld(f"a cancel was answered {odd}")
        # Whoever was told 202 is owed a cancel; told 409 alone, a success.
        told = any(status == 202 for status, _ in answers)
        stage.expect(export_id, Ends({"Cancelled"} if told else {"Succeeded"}, 1), 120)

    def storm() -> None:
        day = next(stage.days)
        stage.expect(stage.request(HEALTHY, day), WELL, 120)
        body = {**EXPORT, "startDate": str(day), "endDate": str(day), "rerun": True}
        with ThreadPoolExecutor(many) as pool:
            answers = list(pool.map(lambda _: stage.post("/api/exports", body), range(many)))
        if odd := {status for status, _ in answers} - {200, 202, 409}:
            raise NotHeld(f"a rerun was answered {odd}")
        export = stage.expect(next(one["id"] for status, one in answers if status == 202), WELL, 120)
        # One that came when the second had ended begins a third; never one for each call.
        if export["attempt"] >= many:
            raise NotHeld(f"{export['attempt']} attempts")

    yield Scenario(RACES, f"{many} equal requests", equal)
    for number in range(1 if short else 5):
        yield Scenario(RACES, f"{many} cancels, {number + 1}", cancelled)
    yield Scenario(RACES, f"{many} reruns", storm)
