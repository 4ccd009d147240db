"""Runs a queue function for each message; what fails too often goes to the poison queue.

Sources: QueueListener, QueueProcessor and QueueTriggerExecutor of the Storage extension, and recordings.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from azure.functions.meta import Datum

from devhost.bindings.queues import Encoding, send
from devhost.invoker import CALLED, Call
from devhost.settings import QueueOptions
from devhost.storage import Storage
from devhost.triggers.background import BackgroundTrigger
from devhost.triggers.blob import brief

_log = logging.getLogger("devhost")
_VISIBILITY_SECONDS = 600
"""How long a fetched message is hidden; renewed while its run lasts."""
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0
"""Unless host.json says otherwise; a minute on the real host, which nobody wants to wait for here."""
_POISON = "-poison"


class QueueTrigger(BackgroundTrigger):
    """`run` runs the function and raises what it raises."""

    def __init__(
        self,
        function: str,
        queue: str,
        connection: str,
        storage: Storage,
        run: Callable[[Call], object],
        options: QueueOptions,
        *,
        is_binary: bool = False,
        visibility: float = _VISIBILITY_SECONDS,
    ) -> None:
        super().__init__(f"devhost-queue-{function}", options.batch_size + options.new_batch_threshold)
        self._function = function
        self._queue = queue
        self._connection = connection
        self._storage = storage
        self._run = run
        self._options = options
        self._encoding = Encoding(options.message_encoding)
        self._is_binary = is_binary
        self._visibility = visibility
        self._is_out = False

    def run_by_hand(self, text: str | None) -> None:
        """With a message of that text that is in no queue."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        parts = {"Id": "", "DequeueCount": 0, "PopReceipt": ""}
        times = dict.fromkeys(("ExpirationTime", "InsertionTime", "NextVisibleTime"), now)
        self._run(self._call((text or "").encode(), {**parts, **times}, CALLED))

    def _loop(self) -> None:
        pause, longest = _FIRST_PAUSE_SECONDS, self._options.max_polling_interval or _LONGEST_PAUSE_SECONDS
        while not self._stopping.is_set():
            try:
                found = self.poll()
                if self._is_out:
                    _log.info("queue trigger '%s': storage answers again", self._function)
                self._is_out = False
            except Exception as error:
                found = 0
                if not self._is_out:
                    where = self._storage.where(self._connection, "queue")
                    _log.warning(
                        "queue trigger '%s': %s does not answer as it should, trying on: %s",
                        self._function,
                        where,
                        brief(error),
                    )
                self._is_out = True
            pause = _FIRST_PAUSE_SECONDS if found else min(pause * 2, longest)
            if not found:
                self._stopping.wait(pause)

    def poll(self) -> int:
        """Fetch a batch when few are left; gives how many messages came. Raises what the storage raises."""
        from azure.core.exceptions import ResourceNotFoundError

        with self._idle:
            self._idle.wait_for(
                lambda: self._running <= self._options.new_batch_threshold or self._stopping.is_set(), 1.0
            )
            if self._running > self._options.new_batch_threshold:
                return 0
        client = self._storage.queues(self._connection).get_queue_client(self._queue)
        try:
            batch = client.receive_messages(
                messages_per_page=self._options.batch_size,
                max_messages=self._options.batch_size,
                visibility_timeout=int(self._visibility),
            )
            found = list(batch)
        except ResourceNotFoundError:
            return 0
        for message in found:
            self._submit(partial(self._process, client, message))
        return len(found)

    def _process(self, client: Any, message: Any) -> None:
        """Run, then delete, release or bury the message; its visibility is renewed meanwhile."""
        if message.dequeue_count > self._options.max_dequeue_count and not self._queue.endswith(_POISON):
            self._settle(client, message, False)  # the host was killed under its last attempt
            return
        ended = threading.Event()
        keeper = threading.Thread(
            target=self._keep_hidden, args=(client, message, ended), name="devhost-queue-keeper", daemon=True
        )
        keeper.start()
        try:
            self._run(self._call_of(message))
            succeeded = True
        except Exception as error:
            # What the function raised stands in the log already; what did not reach it does not.
            _log.warning("queue message '%s' of '%s' failed: %s", message.id, self._queue, brief(error))
            succeeded = False
        finally:
            ended.set()
            keeper.join()
        self._settle(client, message, succeeded)

    def _keep_hidden(self, client: Any, message: Any, ended: threading.Event) -> None:
        while not ended.wait(self._visibility / 2):
            try:
                updated = client.update_message(message, visibility_timeout=int(self._visibility))
                message.pop_receipt = updated.pop_receipt
            except Exception as error:
                _log.warning("queue message '%s' could not be kept hidden: %s", message.id, brief(error))

    def _settle(self, client: Any, message: Any, succeeded: bool) -> None:
        try:
            if succeeded:
                client.delete_message(message)
            elif self._queue.endswith(_POISON):
                pass  # it has no poison queue of its own, and stays hidden for a while: no endless loop
            elif message.dequeue_count < self._options.max_dequeue_count:
                client.update_message(message, visibility_timeout=int(self._options.visibility_timeout))
            else:
                self._bury(client, message)
        except Exception as error:
            _log.warning("queue message '%s' of '%s': %s", message.id, self._queue, brief(error))

    def _bury(self, client: Any, message: Any) -> None:
        poison = self._queue + _POISON
        _log.warning(
            "Message has reached MaxDequeueCount of %d. Moving message to queue '%s'.",
            self._options.max_dequeue_count,
            poison,
        )
        send(self._storage, self._connection, poison, message.content)
        client.delete_message(message)

    def _call_of(self, message: Any) -> Call:
        """Raises ValueError when the message cannot be decoded."""
        content = self._encoding.decode(message.content)
        inserted = message.inserted_on.isoformat()
        metadata = {
            "Id": message.id,
            "DequeueCount": message.dequeue_count,
            "PopReceipt": message.pop_receipt,
            "ExpirationTime": message.expires_on.isoformat(),
            "InsertionTime": inserted,
            "NextVisibleTime": message.next_visible_on.isoformat(),
        }
        details = {
            "MessageId": message.id,
            "DequeueCount": str(message.dequeue_count),
            "InsertedOn": inserted,
        }
        return self._call(content, metadata, f"New queue message detected on '{self._queue}'.", details)

    def _call(
        self, content: bytes, metadata: dict[str, Any], reason: str, details: dict[str, str] | None = None
    ) -> Call:
        """A JSON object's own members are metadata too, as on the real host."""
        value = Datum(content, "bytes") if self._is_binary else Datum(content.decode(), "string")
        data = {name: _datum(item) for name, item in _members(content).items()}
        data |= {name: _datum(item, is_time=name.endswith("Time")) for name, item in metadata.items()}
        data["QueueTrigger"] = Datum(content.decode("utf-8", "replace"), "string")
        return Call(value, data, reason, details or {})


def _members(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _datum(item: Any, *, is_time: bool = False) -> Datum:
    if isinstance(item, str) and not is_time:
        return Datum(item, "string")
    return Datum(json.dumps(item, ensure_ascii=False), "json")
