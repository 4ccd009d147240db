"""Health: the failing part is named, and asking often costs nothing."""

import pytest

from mobexport import health
from mobexport.errors import ConfigError, Transient


@pytest.fixture(autouse=True)
def parts(monkeypatch):
    """All is well until a test says otherwise."""
    monkeypatch.setattr(health, "_last", None)
    found = {"settings": 0}

    def settings():
        found["settings"] += 1

    monkeypatch.setattr(health, "get_settings", settings)
    monkeypatch.setattr(health, "get_config", lambda: None)
    monkeypatch.setattr(health, "get_storage", lambda: type("Storage", (), {"table": lambda *_: None})())
    monkeypatch.setattr(health, "_export_api", lambda: None)
    return found


def test_given_many_who_ask_when_checked_then_looked_at_once_in_ten_seconds(parts, monkeypatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(health.time, "monotonic", lambda: clock[0])
    for _ in range(50):
        assert health.check_health(lambda: None)["status"] == "ok"
    assert parts["settings"] == 1
    clock[0] += 11
    health.check_health(lambda: None)
    assert parts["settings"] == 2


@pytest.mark.parametrize(
    ("part", "check"),
    [("configuration", "get_config"), ("exportApi", "_export_api"), ("storage", "get_storage")],
)
def test_given_a_part_that_fails_when_checked_then_it_is_named_without_secrets(
    monkeypatch, part, check
) -> None:
    def fails():
        raise Transient("cannot reach https://a/c?sig=SECRET")

    monkeypatch.setattr(health, check, fails)
    found = health.check_health(lambda: None)
    assert found["status"] == "failing"
    assert {name for name, result in found["checks"].items() if result != "ok"} == {part}
    assert "SECRET" not in str(found)


def test_given_a_function_that_is_not_indexed_when_checked_then_failing() -> None:
    def missing():
        raise ConfigError("not indexed: run_export")

    assert health.check_health(missing)["checks"]["indexing"] == "not indexed: run_export"
