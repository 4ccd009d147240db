"""The function app: its blueprints, nothing else."""

import azure.durable_functions as df
import azure.functions as func

from activities import batching, collecting, creating, notifying, processing, serving
from orchestrators import (
    deliver_notification,
    process_export,
    run_batch,
    run_export,
    run_task_lane,
    serve_export_task,
)
from triggers import (
    api_docs,
    batches,
    export_tasks,
    exported_file,
    exports,
    health,
    pages,
    schedules,
    targets,
    unknown_paths,
)

app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)

TRIGGERS = (
    *(exports, batches, targets, export_tasks, exported_file),
    *(schedules, health, api_docs, pages, unknown_paths),
)
ORCHESTRATORS = (
    run_export,
    run_batch,
    process_export,
    deliver_notification,
    serve_export_task,
    run_task_lane,
)
ACTIVITIES = (creating, batching, collecting, processing, notifying, serving)

for module in (*TRIGGERS, *ORCHESTRATORS, *ACTIVITIES):
    app.register_functions(module.blueprint.sdk)
