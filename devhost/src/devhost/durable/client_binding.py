"""Value of a durableClient binding, as the recorded host hands it to the SDK."""

from __future__ import annotations

import json

_WITH_REASON = ("terminate", "rewind", "suspend", "resume")


def client_binding_json(hub: str, public_origin: str, rpc_base: str) -> str:
    """JSON text. `public_origin` is `http://host:port`, `rpc_base` ends with a slash."""
    base = f"{public_origin}/runtime/webhooks/durabletask"
    query = f"taskHub={hub}&connection=Storage&code=local"
    one = f"{base}/instances/INSTANCEID"
    reasons = {verb: f"{one}/{verb}?reason={{text}}&{query}" for verb in _WITH_REASON}
    create = f"{base}/orchestrators/{{functionName}}[/{{instanceId}}]"
    waits = "timeout={timeoutInSeconds}&pollingInterval={intervalInSeconds}"
    return json.dumps(
        {
            "taskHubName": hub,
            "connectionName": None,
            "creationUrls": {
                "createNewInstancePostUri": f"{create}?code=local",
                "createAndWaitOnNewInstancePostUri": f"{create}?{waits}&code=local",
            },
            "managementUrls": {
                "id": "INSTANCEID",
                "statusQueryGetUri": f"{one}?{query}",
                "sendEventPostUri": f"{one}/raiseEvent/{{eventName}}?{query}",
                "terminatePostUri": reasons["terminate"],
                "rewindPostUri": reasons["rewind"],
                "purgeHistoryDeleteUri": f"{one}?{query}",
                "restartPostUri": f"{one}/restart?{query}",
                "suspendPostUri": reasons["suspend"],
                "resumePostUri": reasons["resume"],
            },
            "baseUrl": base,
            "requiredQueryStringParameters": "code=local",
            "rpcBaseUrl": rpc_base,
            "httpBaseUrl": None,
            "maxGrpcMessageSizeInBytes": None,
            "grpcHttpClientTimeout": None,
        },
        separators=(",", ":"),
    )
