"""The entities' part of Durable's HTTP API, as the recorded host answers."""

from __future__ import annotations

import json
from typing import Any

from devhost.durable import entities
from devhost.durable.api_messages import ApiRequest, ApiResponse, compact, json_answer, problem
from devhost.durable.engine import Engine, UnknownEntityError
from devhost.timestamps import stamp

_EMPTY_KEY = "$"


class EntityApi:
    """Handlers over one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def listed(self, call: ApiRequest, name: str = "") -> ApiResponse:
        """Entities that exist; their states only with `fetchState=true`."""
        shows_state = call.query.get("fetchstate", "").lower() == "true"
        prefix = f"@{name.lower()}@" if name else "@"
        shown = []
        for instance in self._engine.store.instances(prefix=prefix):
            if not entities.is_entity(instance):
                continue
            exists, state = entities.state_of(instance)
            if exists:
                own_name, key = entities.parse_entity_id(instance.id)
                shown.append(
                    {
                        "entityId": {"name": own_name, "key": key},
                        "lastOperationTime": stamp(instance.updated),
                        "state": json.loads(state) if shows_state and state else None,
                    }
                )
        return json_answer(200, shown, x_ms_continuation_token="")

    def state(self, call: ApiRequest, name: str, key: str) -> ApiResponse:
        del call
        found = self._engine.store.instance(entities.entity_id(name, "" if key == _EMPTY_KEY else key))
        exists, state = entities.state_of(found) if found else (False, None)
        return json_answer(200, json.loads(state or "null")) if exists else ApiResponse(404)

    def operate(self, call: ApiRequest, name: str, key: str = "") -> ApiResponse:
        """Send an operation, without waiting for it."""
        operation = "delete" if call.method == "DELETE" else call.query.get("op", "")
        text: str | None = None
        if call.body:
            value: Any = call.body.decode("utf-8", "replace")
            if call.media_type == "application/json":
                try:
                    value = json.loads(value)
                except ValueError as error:
                    return problem(400, f"Could not parse JSON content: {error}")
            text = compact(value)
        try:
            self._engine.signal_entity(name, "" if key == _EMPTY_KEY else key, operation, text)
        except UnknownEntityError as error:
            return problem(400, str(error))
        return ApiResponse(202)
