"""Settings: local.settings.json, the environment, host.json, %NAME%."""

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest

from devhost.errors import AppError
from devhost.settings import (
    HostJson,
    LogLevels,
    UnresolvedSettingError,
    apply_local_settings,
    check_runtime,
    read_host_json,
    read_local_settings,
    resolve,
)


def _local(folder: Path, **content: Any) -> None:
    (folder / "local.settings.json").write_text(json.dumps(content))


def _host(folder: Path, environment: dict[str, str] | None = None, **content: Any) -> HostJson:
    (folder / "host.json").write_text(json.dumps(content))
    return read_host_json(folder, environment or {})


def test_given_a_value_in_the_environment_then_it_wins_with_a_notice(
    tmp_path: Path,
) -> None:
    _local(tmp_path, Values={"A": "file", "B": "file", "C": None, "D": True, "E": 5, "F": ""})
    environment, said = {"A": "outside"}, list[str]()
    apply_local_settings(read_local_settings(tmp_path), environment, said.append)
    assert environment == {"A": "outside", "B": "file", "D": "true", "E": "5", "F": ""}
    assert said == [
        "Skipping 'A' from local settings as it's already defined in current environment variables."
    ]


def test_given_connection_strings_and_a_port_when_read_then_both_are_known(tmp_path: Path) -> None:
    strings = {"Db": "one", "Other": {"ConnectionString": "two", "ProviderName": "x"}}
    _local(tmp_path, ConnectionStrings=strings, Host={"LocalHttpPort": 8080, "CORS": "*"})
    local = read_local_settings(tmp_path)
    assert local.values == {"ConnectionStrings:Db": "one", "ConnectionStrings:Other": "two"}
    assert local.port == 8080
    assert read_local_settings(tmp_path / "nowhere").values == {}


def test_given_unusable_local_settings_then_the_error_says_what_to_do(tmp_path: Path) -> None:
    _local(tmp_path, IsEncrypted=True)
    with pytest.raises(AppError, match="func settings decrypt"):
        read_local_settings(tmp_path)
    _local(tmp_path, Values={"A": {"nested": 1}})
    with pytest.raises(AppError, match="the value of A must be text"):
        read_local_settings(tmp_path)
    (tmp_path / "local.settings.json").write_text('{\n  "Values": {\n    "A": 1,\n  }\n}')
    with pytest.raises(AppError, match=r"^local\.settings\.json, line 4, column 3: "):
        read_local_settings(tmp_path)


@pytest.mark.parametrize("runtime", ["node", "dotnet-isolated", ""])
def test_given_another_worker_runtime_then_the_error_names_the_setting(runtime: str) -> None:
    check_runtime({"FUNCTIONS_WORKER_RUNTIME": "Python"})
    check_runtime({})
    with pytest.raises(AppError, match=f"FUNCTIONS_WORKER_RUNTIME is '{runtime}'"):
        check_runtime({"FUNCTIONS_WORKER_RUNTIME": runtime})


def test_given_no_files_when_read_then_the_defaults_hold(tmp_path: Path) -> None:
    host = read_host_json(tmp_path, {})
    assert (host.route_prefix, host.hub, host.default_version) == ("api", "TestHubName", None)
    assert (host.max_blobs % 8, host.blob_attempts) == (0, 5)


def test_given_a_host_json_then_its_settings_count_in_any_case(tmp_path: Path) -> None:
    host = _host(
        tmp_path,
        {"HUB": "mine"},
        extensionBundle={"id": "x"},
        extensions={
            "HTTP": {"routePrefix": ""},
            "durableTask": {
                "hubName": "%HUB%",
                "MAXConcurrentActivityFunctions": 3,
                "defaultVersion": "1.0",
                "versionMatchStrategy": "Strict",
            },
            "blobs": {"maxDegreeOfParallelism": 4, "poisonBlobThreshold": 1},
        },
    )
    assert (host.route_prefix, host.hub, host.max_activities, host.default_version) == ("", "mine", 3, "1.0")
    assert (host.version_match_strategy, host.max_blobs, host.blob_attempts) == ("Strict", 4, 1)
    assert (host.has_extensions, host.notes) == (True, ())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"extensions": {"blobs": {"poisonBlobThreshold": 0}}}, "poisonBlobThreshold must be a whole number"),
        ({"extensions": {"blobs": {"maxDegreeOfParallelism": "8"}}}, 'from 1 on, not "8"'),
        ({"extensions": {"http": {"routePrefix": 5}}}, "extensions.http.routePrefix must be text, not 5"),
        ({"extensions": {"durableTask": {"hubName": "%NO%"}}}, "hubName: '%NO%' does not resolve"),
        ({"logging": {"logLevel": {"default": "Loud"}}}, "logging.logLevel.default must be one of trace"),
    ],
)
def test_given_an_unusable_host_json_value_then_its_setting_is_named(
    tmp_path: Path, content: dict[str, Any], message: str
) -> None:
    with pytest.raises(AppError, match=re.escape(message)):
        _host(tmp_path, **content)


def test_given_broken_json_when_read_then_the_error_names_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text('{\n  "version": \n}')
    with pytest.raises(AppError, match=r"^host\.json, line 3, column 1: "):
        read_host_json(tmp_path, {})
    (tmp_path / "host.json").write_text("[]")
    with pytest.raises(AppError, match=r"^host\.json: a JSON object is needed, not list"):
        read_host_json(tmp_path, {})


def test_given_durable_settings_unused_or_misspelt_then_each_is_told(
    tmp_path: Path,
) -> None:
    durable = {
        "maxConcurrentOrchestratorFunctions": 8,
        "storageProvider": {},
        "maxConcurentActivityFunctions": 1,
        "xyz": 1,
    }
    unused, misspelt, unknown = _host(tmp_path, extensions={"durableTask": durable}).notes
    assert unused.endswith("without effect in devhost: maxConcurrentOrchestratorFunctions, storageProvider")
    assert (
        "knows no setting durableTask.maxConcurentActivityFunctions; do you mean maxConcurrentA" in misspelt
    )
    assert unknown == "host.json: the Durable extension knows no setting durableTask.xyz"


def test_given_log_levels_when_asked_then_the_longest_category_decides(tmp_path: Path) -> None:
    levels = _host(
        tmp_path,
        logging={
            "logLevel": {
                "default": "Warning",
                "Function": "Error",
                "Function.quiet.User": "None",
                "Function.loud": "Trace",
            }
        },
    ).log_levels
    found = [
        levels.of(f"Function.{name}") for name in ("any", "any.User", "quiet", "QUIET.user", "loud.User")
    ]
    assert found == [logging.ERROR, logging.ERROR, logging.ERROR, logging.CRITICAL + 1, logging.DEBUG]
    assert levels.of("Host") == logging.WARNING
    assert LogLevels().of("Host") == logging.INFO


def test_given_a_missing_setting_then_the_error_is_the_real_hosts() -> None:
    assert resolve("%A%/x-%B%", {"A": "1", "B": "2"}) == "1/x-2"
    with pytest.raises(UnresolvedSettingError, match="'%C%' does not resolve to a value"):
        resolve("%C%", {})
