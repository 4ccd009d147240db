"""A webhook receiver that verifies Standard Webhooks signatures by itself and keeps all deliveries.

In a test or the demo: `with Receiver(secret) as receiver: receiver.url, receiver.received`. By itself:
`WEBHOOK_SECRET=whsec_… python -m localdev.webhook_receiver --port 9000`, and point a target at it. Nothing
here is shared with the sender, so a mistake in one is not hidden by the same mistake in the other.
"""

import argparse
import base64
import binascii
import hashlib
import hmac
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

TOLERANCE_SECONDS = 300
MAX_BODY = 1024 * 1024
PREFIX = "whsec_"


@dataclass(frozen=True)
class Delivery:
    """One request that arrived. `problem` says why it is not to be trusted; None when it is."""

    message_id: str
    headers: Mapping[str, str]
    body: bytes
    problem: str | None
    repeated: bool

    @property
    def verified(self) -> bool:
        """Whether signature and time are right."""
        return self.problem is None

    @property
    def event(self) -> dict[str, object]:
        """The body as JSON object."""
        event = json.loads(self.body)
        assert isinstance(event, dict)
        return event


def new_secret() -> str:
    """A secret as a receiver hands it out: 24 random bytes."""
    return PREFIX + base64.b64encode(os.urandom(24)).decode()


def problem_with(headers: Mapping[str, str], body: bytes, secret: str, now: float) -> str | None:
    """Why this request does not come from the owner of the secret, or None. Header names in lower case."""
    message_id, sent, given = (
        headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature")
    )
    if not (message_id and sent and given):
        return "not signed"
    if not (sent.isascii() and sent.isdigit()) or abs(now - int(sent)) > TOLERANCE_SECONDS:
        return "sent too long ago, or in the future"
    expected = _signature(secret, f"{message_id}.{sent}.".encode() + body)
    # While a secret is rotated there are several signatures; one that fits is enough. All are compared.
    fits = [hmac.compare_digest(one.encode(), expected) for one in given.split(" ")]
    return None if any(fits) else "wrong signature"


def _signature(secret: str, content: bytes) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError(f"a webhook secret is {PREFIX} and base64") from error
    return b"v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest())


class Receiver:
    """A receiver on the loopback interface, in a thread, from `with` to its end."""

    def __init__(self, secret: str, port: int = 0, told: Callable[[Delivery], None] | None = None) -> None:
        self.received: list[Delivery] = []
        self._secret = secret
        self._told = told
        self._changed = threading.Condition()
        _signature(secret, b"")  # a bad secret is told now, not at the first request
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            """Answers 204 to a delivery that can be trusted, else 401."""

            def do_POST(self) -> None:
                """One delivery."""
                self.send_response(receiver._take(self))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Silent: what came is in `received`."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """URL of the receiver."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def wait_for(self, wanted: Callable[[Delivery], bool], seconds: float) -> Delivery | None:
        """The first delivery of that kind, also one that came already; None when time is up."""

        def found() -> Delivery | None:
            return next((one for one in self.received if wanted(one)), None)

        with self._changed:
            return self._changed.wait_for(found, seconds)

    def _take(self, request: BaseHTTPRequestHandler) -> int:
        length = request.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            return 411
        if int(length) > MAX_BODY:
            return 413
        body = request.rfile.read(int(length))
        headers = {name.lower(): value for name, value in request.headers.items()}
        message_id = headers.get("webhook-id", "")
        with self._changed:
            delivery = Delivery(
                message_id=message_id,
                headers=headers,
                body=body,
                problem=problem_with(headers, body, self._secret, time.time()),
                repeated=any(message_id == one.message_id and one.verified for one in self.received),
            )
            self.received.append(delivery)
            self._changed.notify_all()
        if self._told:
            self._told(delivery)
        return 204 if delivery.verified else 401


def _print(delivery: Delivery) -> None:
    word = "verified" if delivery.verified else f"REFUSED ({delivery.problem})"
    again = ", seen before" if delivery.repeated else ""
    text = delivery.body.decode("utf-8", errors="replace")
    print(f"{word}{again}: {delivery.message_id or 'without id'}\n  {text}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m localdev.webhook_receiver", description=__doc__)
    parser.add_argument("--port", type=int, default=9000)
    chosen = parser.parse_args(arguments)
    secret = os.environ.get("WEBHOOK_SECRET", "")
    if not secret:
        print(f"set WEBHOOK_SECRET to the sender's secret ({PREFIX} and base64)", file=sys.stderr)
        return 2
    try:
        with Receiver(secret, chosen.port, _print) as receiver:
            print(f"listening on {receiver.url}; Ctrl-C ends it", flush=True)
            threading.Event().wait()
    except KeyboardInterrupt:
        return 0
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
