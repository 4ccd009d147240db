"""The function app: its blueprints, nothing else."""

import azure.durable_functions as df
import azure.functions as func

from activities import collecting, creating, notifying, processing, serving
from orchestrators import (
    deliver_notification,
    poll_export_job,
    process_export,
    run_export,
    run_task_lane,
    serve_export_task,
)
from triggers import export_tasks, exported_file, exports

app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)

for module in (
    exports,
    export_tasks,
    exported_file,
    run_export,
    poll_export_job,
    process_export,
    deliver_notification,
    serve_export_task,
    run_task_lane,
    creating,
    collecting,
    processing,
    notifying,
    serving,
):
    app.register_functions(module.blueprint.sdk)
