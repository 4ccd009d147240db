"""Settings: local.settings.json, the environment, host.json, %NAME%."""

import json
from pathlib import Path

import pytest

from devhost.errors import AppError
from devhost.settings import UnresolvedSettingError, apply_local_settings, read_host_json, resolve


def test_given_a_value_in_the_environment_when_settings_are_applied_then_it_wins_with_a_notice(
    tmp_path: Path,
) -> None:
    values = {"A": "file", "B": "file", "C": None}
    (tmp_path / "local.settings.json").write_text(json.dumps({"Values": values}))
    environment, said = {"A": "outside"}, list[str]()
    apply_local_settings(tmp_path, environment, said.append)
    assert environment == {"A": "outside", "B": "file"}
    assert said == [
        "Skipping 'A' from local settings as it's already defined in current environment variables."
    ]


def test_given_no_files_when_read_then_the_defaults_hold(tmp_path: Path) -> None:
    host = read_host_json(tmp_path, {})
    assert (host.route_prefix, host.hub, host.default_version) == ("api", "TestHubName", None)


def test_given_a_host_json_when_read_then_prefix_hub_and_limits_come_from_it(tmp_path: Path) -> None:
    durable = {"hubName": "%HUB%", "maxConcurrentActivityFunctions": 3, "defaultVersion": "1.0"}
    raw = {"extensions": {"http": {"routePrefix": ""}, "durableTask": durable}}
    (tmp_path / "host.json").write_text(json.dumps(raw))
    host = read_host_json(tmp_path, {"HUB": "mine"})
    assert (host.route_prefix, host.hub, host.max_activities, host.default_version) == ("", "mine", 3, "1.0")


def test_given_broken_json_when_read_then_the_error_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text("{")
    with pytest.raises(AppError, match=r"^host\.json: "):
        read_host_json(tmp_path, {})


def test_given_a_missing_setting_when_resolved_then_the_error_is_the_real_hosts() -> None:
    assert resolve("%A%/x-%B%", {"A": "1", "B": "2"}) == "1/x-2"
    with pytest.raises(UnresolvedSettingError, match="'%C%' does not resolve to a value"):
        resolve("%C%", {})
