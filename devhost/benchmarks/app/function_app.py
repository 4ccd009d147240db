"""What the benchmark of the local host runs: `chain` is the one that was measured on the real host."""

from datetime import timedelta

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="ready")
def ready(req: func.HttpRequest) -> str:
    return req.method


@app.route(route="start/{name}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    return client.create_check_status_response(req, await client.start_new(req.route_params["name"]))


@app.orchestration_trigger(context_name="context")
def chain(context: df.DurableOrchestrationContext):
    context.set_custom_status({"step": 0})
    one = yield context.call_activity("say", "a")
    context.set_custom_status({"step": 1, "one": one})
    two = yield context.call_activity("say", {"n": 2, "t": "two"})
    return [one, two, context.get_input(), context.instance_id]


@app.orchestration_trigger(context_name="context")
def sleeper(context: df.DurableOrchestrationContext):
    yield context.create_timer(context.current_utc_datetime + timedelta(hours=1))


@app.activity_trigger(input_name="payload")
def say(payload):
    return f"said {payload}"
