"""What the host binds to a durable client parameter, for a task hub where nobody listens."""

import json
from typing import Final

CLIENT: Final = json.dumps(
    {
        "taskHubName": "x",
        "creationUrls": {},
        "managementUrls": {"id": "x"},
        "baseUrl": "",
        "requiredQueryStringParameters": "",
        "rpcBaseUrl": "http://127.0.0.1:1/",
    }
)
