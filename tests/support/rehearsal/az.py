"""The Azure CLI's double: the commands that our scripts use, against the state of `cloud.py`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import jmespath

from rehearsal.cloud import DIRECTORY_SECONDS, Cloud, Refused
from rehearsal.templates import evaluate, indexed

Options = Mapping[str, str]
_CALL_SECONDS: Final = 2
_CLIENT: Final = "55555555-5555-5555-5555-555555555555"


def run(cloud: Cloud, argv: Sequence[str]) -> str:
    """What the command prints. Raises Refused."""
    words, options = _parse(argv)
    command = _COMMANDS.get(" ".join(words))
    if command is None:
        raise Refused("CommandNotFound", f"{' '.join(words)}: the double does not know it")
    cloud.wait(_CALL_SECONDS)
    cloud.fault(f"az {' '.join(words)}")
    found = command(cloud, {"subscription": cloud.data["subscription"], **options})
    if "query" in options:
        found = jmespath.search(options["query"], found)
    return _shown(found, options.get("output", "json"))


def _parse(argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    words, options = [], {}
    rest = iter(argv)
    for word in rest:
        if word.startswith("--"):
            options[word[2:]] = next(rest)
        else:
            words.append(word)
    return words, options


def _shown(found: Any, output: str) -> str:
    if output == "none" or found is None:
        return ""
    if output == "json":
        return json.dumps(found) + "\n"
    rows = found if isinstance(found, list) else [found]
    return "".join(f"{str(row).lower() if isinstance(row, bool) else row}\n" for row in rows)


# --- groups, vault ---------------------------------------------------------------------------------------


def _group(cloud: Cloud, options: Options) -> dict[str, Any] | None:
    inside = f"{options['subscription']}/subscriptions/{options['subscription']}"
    found: dict[str, Any] | None = cloud.data["resources"].get(f"{inside}/resourceGroups/{options['name']}")
    return found


def _show_group(cloud: Cloud, options: Options) -> dict[str, Any]:
    found = _group(cloud, options)
    if found is None:
        raise Refused("ResourceGroupNotFound", f"Resource group '{options['name']}' could not be found.")
    return found


def _list_locks(cloud: Cloud, options: Options) -> list[dict[str, Any]]:
    found = cloud.data["resources"].values()
    inside = f"/resourceGroups/{options['resource-group']}/"
    locks = (item for item in found if item["type"] == "Microsoft.Authorization/locks")
    return [{"id": item["id"]} for item in locks if inside in item["id"]]


def _delete_lock(cloud: Cloud, options: Options) -> None:
    cloud.need("lock")
    resources = cloud.data["resources"]
    for key in [key for key, item in resources.items() if item["id"] == options["ids"]]:
        del resources[key]


def _deleted_vaults(cloud: Cloud, _: Options) -> list[dict[str, Any]]:
    return [
        {"name": name, "properties": {"tags": item["tags"]}}
        for name, item in cloud.data["deleted_vaults"].items()
    ]


def _list_secrets(cloud: Cloud, options: Options) -> list[dict[str, Any]]:
    return [{"name": name} for name in cloud.open_vault(options["vault-name"])]


def _set_secret(cloud: Cloud, options: Options) -> None:
    kept = cloud.open_vault(options["vault-name"])
    kept[options["name"]] = Path(options["file"]).read_text("utf-8")
    cloud.make("secret")


def _show_secret(cloud: Cloud, options: Options) -> dict[str, str]:
    return {"value": cloud.open_vault(options["vault-name"])[options["name"]]}


# --- directory -------------------------------------------------------------------------------------------


def _directory(cloud: Cloud) -> dict[str, Any]:
    cloud.need("directory")
    kept: dict[str, Any] = cloud.data["applications"]
    return kept


def _list_applications(cloud: Cloud, options: Options) -> list[dict[str, Any]]:
    name = options["filter"].split("'")[1]
    return [item for item in _directory(cloud).values() if item["displayName"] == name]


def _create_application(cloud: Cloud, options: Options) -> dict[str, Any]:
    kept = _directory(cloud)
    made = {
        "appId": f"33333333-0000-0000-0000-{len(kept):012}",
        "id": f"object-{len(kept)}",
        "displayName": options["display-name"],
        "at": cloud.clock,
    }
    kept[made["appId"]] = made
    cloud.make("application")
    return made


def _application(cloud: Cloud, options: Options) -> dict[str, Any]:
    found = _directory(cloud).get(options["id"])
    if found is None or cloud.clock < found["at"] + DIRECTORY_SECONDS:
        raise Refused("Request_ResourceNotFound", f"Resource '{options['id']}' does not exist (404)")
    return found


def _list_principals(cloud: Cloud, options: Options) -> list[dict[str, Any]]:
    app = options["filter"].split("'")[1]
    cloud.need("directory")
    return [{"id": item} for name, item in cloud.data["principals"].items() if name == app]


def _create_principal(cloud: Cloud, options: Options) -> None:
    _application(cloud, options)
    cloud.data["principals"][options["id"]] = f"principal-{options['id']}"
    cloud.make("service principal")


# --- REST ------------------------------------------------------------------------------------------------


def _rest(cloud: Cloud, options: Options) -> Any:
    method, url = options["method"], options["url"]
    if url.startswith("https://graph.microsoft.com/v1.0/applications/"):
        target = url.rsplit("/", 1)[1]
        (application,) = (item for item in _directory(cloud).values() if item["id"] == target)
        application.update(json.loads(options["body"]))
        return None
    cloud.need("write")
    site = url.split("/sites/")[1].split("/")[0]
    if method == "POST" and "/appsettings/refresh?" in url:
        cloud.read_vault(site)
        return None
    if method == "GET" and "/configreferences/appsettings?" in url:
        rows = cloud.references(site).items()
        return {"value": [{"name": name, "properties": {"status": status}} for name, status in rows]}
    raise Refused("NotFound", f"{method} {url}: the double does not know it")


# --- templates -------------------------------------------------------------------------------------------


def deploy_subscription(
    cloud: Cloud, parameters: Path, subscription: str, environ: Options
) -> dict[str, str]:
    """Deploys `main.bicepparam`; its outputs. The app's address is that of the double."""
    snapshot = evaluate(parameters, subscription, environ)
    cloud.deploy(subscription, snapshot["predictedResources"])
    # Only Azure knows what an identity is called.
    known = {name: _CLIENT if "[" in value else value for name, value in snapshot["outputs"].items()}
    return {**known, "FUNCTION_APP_URL": cloud.data["url"]}


def _create_subscription(cloud: Cloud, options: Options) -> dict[str, Any]:
    outputs = deploy_subscription(
        cloud, Path(options["parameters"]), options["subscription"], dict(os.environ)
    )
    # The resource manager changes the case of the first letters.
    shown = {
        f"{name[:1].lower()}{name[1:]}": {"type": "String", "value": value} for name, value in outputs.items()
    }
    return {"properties": {"outputs": shown}}


def _what_if(cloud: Cloud, options: Options) -> None:
    evaluate(Path(options["parameters"]), options["subscription"], dict(os.environ))
    cloud.need("write")


def _create_group_deployment(cloud: Cloud, options: Options) -> None:
    environ = {**os.environ, "AZURE_RESOURCE_GROUP": options["resource-group"]}
    snapshot = evaluate(Path(options["parameters"]), options["subscription"], environ)
    (resource,) = snapshot["predictedResources"]
    cloud.wait(10)
    cloud.subscribe(os.environ["FUNCTION_APP_NAME"], resource, options["subscription"])


# --- app -------------------------------------------------------------------------------------------------


def _site(cloud: Cloud, options: Options) -> str:
    key = f"{options['subscription']}/subscriptions/{options['subscription']}"
    for name, item in cloud.data["resources"].items():
        if name.startswith(key) and item["type"] == "Microsoft.Web/sites" and item["name"] == options["name"]:
            return str(item["name"])
    raise Refused("ResourceNotFound", f"The app {options['name']} was not found in this subscription.")


def _show_site(cloud: Cloud, options: Options) -> dict[str, Any]:
    site = cloud.find("Microsoft.Web/sites", _site(cloud, options))
    assert site is not None
    return site


def _list_functions(cloud: Cloud, options: Options) -> list[dict[str, str]]:
    site = _site(cloud, options)
    return [{"name": f"{site}/{name}"} for name in cloud.functions(site)]


def _list_keys(cloud: Cloud, options: Options) -> dict[str, Any]:
    cloud.need("write")
    site = _site(cloud, options)
    system = {"blobs_extension": "SYSTEM-KEY"} if site in cloud.data["woken"] else {}
    return {"functionKeys": {"default": "FUNCTION-KEY"}, "systemKeys": system}


def _publish(cloud: Cloud, options: Options) -> None:
    if options.get("build-remote") != "true":
        raise Refused("BadRequest", "Python on Flex Consumption needs a remote build")
    cloud.publish(_site(cloud, options), indexed(Path(options["src"])))


_COMMANDS: Final[Mapping[str, Callable[[Cloud, Options], Any]]] = {
    "group exists": lambda cloud, options: _group(cloud, options) is not None,
    "group show": _show_group,
    "lock list": _list_locks,
    "lock delete": _delete_lock,
    "keyvault list-deleted": _deleted_vaults,
    "keyvault purge": lambda cloud, options: cloud.purge(options["name"]),
    "keyvault secret list": _list_secrets,
    "keyvault secret set": _set_secret,
    "keyvault secret show": _show_secret,
    "ad app list": _list_applications,
    "ad app create": _create_application,
    "ad app show": _application,
    "ad sp list": _list_principals,
    "ad sp create": _create_principal,
    "rest": _rest,
    "deployment sub create": _create_subscription,
    "deployment sub what-if": _what_if,
    "deployment group create": _create_group_deployment,
    "functionapp show": _show_site,
    "functionapp restart": _site,
    "functionapp function list": _list_functions,
    "functionapp keys list": _list_keys,
    "functionapp deployment source config-zip": _publish,
}


def main() -> int:
    cloud = Cloud(Path(os.environ["REHEARSAL_STATE"]))
    line = f"az {' '.join(sys.argv[1:])}"
    try:
        shown = run(cloud, sys.argv[1:])
    except Refused as refused:
        cloud.data["calls"].append({"at": cloud.clock, "line": line, "refused": str(refused)})
        cloud.save()
        print(f"ERROR: {refused}", file=sys.stderr)
        return 1
    cloud.data["calls"].append({"at": cloud.clock, "line": line})
    cloud.save()
    sys.stdout.write(shown.replace("\n", cloud.data["line_end"]))
    return 0
