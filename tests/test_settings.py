"""Settings and exports.toml: all problems at once, by the setting's name; the docs' table is complete."""

import json
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest

from mobexport import targets
from mobexport.config import App, Source, find_app, load_config
from mobexport.errors import ConfigError, NotFound
from mobexport.settings import Settings, read_settings

ROOT = Path(__file__).parent.parent
LOCAL = {"DATA_STORAGE": "UseDevelopmentStorage=true", "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}


def test_given_only_storage_when_read_then_defaults() -> None:
    settings = read_settings(LOCAL)
    assert settings.export_api_auth == "entra"
    assert settings.api_url == "http://localhost:7071/api"
    assert settings.is_local


def test_given_several_mistakes_when_read_then_all_are_named() -> None:
    with pytest.raises(ConfigError) as error:
        read_settings({**LOCAL, "ROLE": "server", "POLL_FIRST_SECONDS": "soon", "QUEUE_DEADLINE": "an hour"})
    for name in ("ROLE", "POLL_FIRST_SECONDS", "QUEUE_DEADLINE"):
        assert name in error.value.message


def test_given_no_storage_when_read_then_the_remedy() -> None:
    with pytest.raises(ConfigError, match="DATA_STORAGE: set a connection string"):
        read_settings({})


@pytest.mark.parametrize("text", ["06:00:00", "21600", "0.06:00:00"])
def test_given_a_duration_when_read_then_both_forms_mean_the_same(text: str) -> None:
    assert read_settings({**LOCAL, "QUEUE_DEADLINE": text}).queue_deadline == timedelta(hours=6)


def test_given_deadlines_beyond_the_life_of_a_sas_when_read_then_refused() -> None:
    with pytest.raises(ConfigError, match="TOTAL_DEADLINE"):
        read_settings({**LOCAL, "TOTAL_DEADLINE": "7.00:00:00"})


def test_given_a_foreign_api_without_scope_when_read_then_refused() -> None:
    with pytest.raises(ConfigError, match="EXPORT_API_SCOPE"):
        read_settings({**LOCAL, "EXPORT_API_URL": "https://api.example.com"})


@pytest.mark.parametrize(
    "extra",
    [
        {"AZURE_FUNCTIONS_ENVIRONMENT": "Production"},
        {"WEBSITE_INSTANCE_ID": "abc"},
        {"WEBSITE_HOSTNAME": "app.azurewebsites.net", "EXPORT_API_SCOPE": "api://x/.default"},
    ],
)
def test_given_any_sign_of_azure_when_read_then_not_local(extra: dict[str, str]) -> None:
    assert not read_settings({**LOCAL, **extra}).is_local


def test_given_a_wrong_setting_then_the_message_repeats_no_secret() -> None:
    with pytest.raises(ConfigError) as error:
        read_settings({"DATA_STORAGE": "AccountKey=topsecret", "ROLE": "x"})
    assert "topsecret" not in error.value.message


def test_given_the_samples_when_read_then_they_are_valid() -> None:
    load_config(ROOT / "exports.sample.toml", required=True)
    values = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    read_settings({**values, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[apps.x", "exports.toml"),
        ('[apps."x"]\nchecks = "loose"', "apps.x.checks"),
        ('[apps."x"]\nnotify = ["gone"]', "there is no [targets.gone]"),
        ('[apps."../x"]', "use 1-64"),
        ('[apps.x]\ntotal_deadline = "6.12:00:00"', "total_deadline: must not exceed"),
        ('[apps.x]\nqueue_deadline = "soon"', "apps.x.queue_deadline"),
        (
            '[targets.t]\nkind = "fax"',
            "targets.t: kind must be one of: webhook, storage-queue, slack, teams, event-grid",
        ),
        ('[targets.t]\nqueue = "q"', "targets.t: kind must be one of"),
        ('[targets.t]\nkind = ["webhook"]', "targets.t: kind must be one of"),
        ('[targets.t]\nkind = "storage-queue"\nqueue = "Q"\nurl = "x"', "targets.t.url: no such key"),
        ('[apps.x.source]\nkind = "database"', "apps.x.source.kind"),
        ('[targets.t]\nkind = "webhook"\nurl = "http://example.com"\nsecret_setting = "S"', "https"),
        ('[targets.t]\nkind = "webhook"\nsecret_setting = "S"', "set either url or url_setting"),
        ("[appz]", "appz"),
    ],
)
def test_given_a_wrong_file_when_loaded_then_the_place_is_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "exports.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_config(path, required=True)
    assert says in error.value.message


def test_given_an_unnamed_app_then_admitted_only_locally_without_a_file(
    tmp_path: Path,
) -> None:
    nothing = load_config(tmp_path / "none.toml", required=False)
    assert find_app(nothing, read_settings(LOCAL), "any.app") == App()
    with pytest.raises(NotFound):
        find_app(nothing, read_settings(LOCAL), "../etc")
    with pytest.raises(NotFound):
        find_app(nothing, read_settings({**LOCAL, "AZURE_FUNCTIONS_ENVIRONMENT": "Production"}), "any.app")


def test_docs_list_every_setting_in_the_table() -> None:
    table = (ROOT / "docs" / "settings.md").read_text("utf-8")
    for name, field in Settings.model_fields.items():
        assert f"`{field.validation_alias or name.upper()}`" in table, name


def test_every_kind_of_target_stands_in_the_docs_and_the_sample() -> None:
    table = (ROOT / "docs" / "settings.md").read_text("utf-8")
    sample = load_config(ROOT / "exports.sample.toml", required=True)
    assert {target.kind for target in sample.targets.values()} == set(targets.kinds())
    for name in targets.kinds():
        assert f'`kind = "{name}"`' in table


def test_every_kind_of_source_stands_in_the_docs() -> None:
    table = (ROOT / "docs" / "settings.md").read_text("utf-8")
    (row,) = [line for line in table.splitlines() if line.startswith("| `[source]` `kind`")]
    for name in get_args(Source.model_fields["kind"].annotation):
        assert f"`{name}`" in row
