"""The app as the host indexes it: every durable name is a function, every argument has a binding."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

from mobexport import durable_names

ROOT = Path(__file__).parent.parent.parent
CODE = """
import inspect, json, function_app
print(json.dumps([
    {"name": f.get_function_name(), "bindings": [json.loads(b) for b in f.get_raw_bindings()],
     "async": inspect.iscoroutinefunction(f.get_user_function()),
     "parameters": list(inspect.signature(f.get_user_function()).parameters)}
    for f in function_app.app.get_functions()
]))
"""


@cache
def _functions() -> list[dict]:
    # In a process of its own: an app can be indexed once.
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_given_the_app_when_indexed_then_every_durable_name_is_there() -> None:
    functions = _functions()
    by_kind = {
        kind: {f["name"] for f in functions if any(b["type"] == kind for b in f["bindings"])}
        for kind in ("orchestrationTrigger", "activityTrigger")
    }
    assert by_kind["orchestrationTrigger"] == durable_names.ORCHESTRATORS
    assert by_kind["activityTrigger"] == durable_names.ACTIVITIES


def test_given_the_app_when_indexed_then_arguments_and_bindings_agree() -> None:
    for function in _functions():
        bound = {b["name"] for b in function["bindings"]} - {"$return"}
        # The worker hands `context` to whoever has a parameter of that name, without any binding.
        assert set(function["parameters"]) - bound <= {"context"}, function["name"]
        assert bound <= set(function["parameters"]), function["name"]


def test_given_the_app_then_only_health_docs_pages_and_export_api_are_open() -> None:
    anonymous = {f["name"] for f in _functions() for b in f["bindings"] if b.get("authLevel") == "ANONYMOUS"}
    tasks = {"list_export_tasks", "get_export_task", "create_export_task"}
    pages = {name for name in anonymous if name.startswith("page_")}  # They ask who it is themselves.
    assert len(pages) >= 5
    assert anonymous == {"health", "get_openapi", "get_api_docs", *pages, *tasks}


def test_openapi_document_and_the_routes_of_the_app_are_the_same() -> None:
    from mobexport import export_types
    from mobexport.openapi import describe

    routes = {
        (b["methods"][0].lower(), f"/{b['route']}")
        for f in _functions()
        for b in f["bindings"]
        if b["type"] == "httpTrigger"
    }
    routes = {route for route in routes if route[1] != "/{*path}"}  # what no function has
    routes = {route for route in routes if not f"{route[1]}/".startswith("/ui/")}  # pages, for people
    (create,) = (route for route in routes if route[1].endswith("/{taskType}"))
    base = create[1].rpartition("/")[0]
    types = {
        ("post", f"{base}/{one.name}") for declared in export_types.all_types() for one in declared.routes
    }
    described = {
        (method, path)
        for path, item in describe()["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert described == (routes - {create}) | types


def test_given_the_app_when_indexed_then_each_route_has_one_method() -> None:
    # Without one HEAD, OPTIONS and everything else would reach it.
    triggers = [b for f in _functions() for b in f["bindings"] if b["type"] == "httpTrigger"]
    assert len(triggers) >= 10
    for trigger in triggers:
        # What tells that nothing is there takes what people try.
        assert len(trigger["methods"]) == (5 if trigger["route"] == "{*path}" else 1), trigger["route"]


def test_given_the_app_then_whatever_has_a_durable_client_is_async() -> None:
    # A sync function with a client fails on the real host at its first call.
    with_client = [f for f in _functions() if any(b["type"] == "durableClient" for b in f["bindings"])]
    assert len(with_client) >= 10
    assert [f["name"] for f in with_client if not f["async"]] == []
