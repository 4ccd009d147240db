"""`mobexport config check`, and whoever else names what is wrong before anything runs."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from localdev import start
from localdev.processes import StartError, free_ports
from mobexport import config_check, services
from mobexport.cli import main
from mobexport.config_check import check_all
from mobexport.config_problems import key_lines
from mobexport.health import Health

LOCAL = {"DATA_STORAGE": "UseDevelopmentStorage=true", "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
HOOK = '[targets.ops]\nkind = "webhook"\nurl = "http://127.0.0.1:1/"\nsecret_setting = "OPS_SECRET"\n'


def check(folder: Path, text: str, **environ: str) -> list[str]:
    (folder / "exports.toml").write_text(text, "utf-8")
    return check_all({**LOCAL, **environ}, folder)[0]


DOTS = "a name with dots stands in quotes: "


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        (
            "[apps.shop]\nchekcs = 1",
            "2: apps.shop.chekcs",
            "no such key; did you mean `checks`? Allowed: checks, c",
        ),
        (
            "[apps.shop.schedule]\ntimezone = 'UTC'",
            "2: apps.shop.schedule.timezone",
            "did you mean `time_zone`?",
        ),
        ("\n[appz.shop]", "2: appz", "no such key; did you mean `apps`? Allowed: apps, callers"),
        (
            "[apps.com.example.shop]\nchecks = 1",
            "1: apps.com.example.shop",
            f'{DOTS}[apps."com.example.shop"]',
        ),
        ("[apps.com.shop.schedule]\nat = 03:00:00", "1: apps.com.shop", f'{DOTS}[apps."com.shop"]'),
        ('[targets.my.hook]\nkind = "x"', "1: targets.my.hook", f'{DOTS}[targets."my.hook"]'),
        ('[targets.q]\nkind = "storage-queue"\nquue = "x"', "3: targets.q.quue", "did you mean `queue`?"),
        (
            '[targets.q]\nkind = "webhook"\nurl = "https://a.example"',
            "1: targets.q.secret_setting",
            "is missing",
        ),
        (
            '[apps."a.b"]\n\nnotify = ["opps"]\n' + HOOK,
            '3: apps."a.b".notify',
            "[targets.opps]; did you mean `ops`?",
        ),
        ('[apps.shop]\nchecks = "loose"', "2: apps.shop.checks", "Input should be 'lenient' or"),
        ("[apps.shop\n", "1", "Expected"),
        ('[apps.shop]\nchecks = "strict"\nchecks = "lenient"\n', "3", "Cannot overwrite a value"),
    ],
)
def test_a_problem_of_the_file_has_its_line_key_and_remedy(
    tmp_path: Path, text: str, place: str, says: str
) -> None:
    found = check(tmp_path, text, OPS_SECRET="whsec_c2VjcmV0")
    assert [one for one in found if one.startswith(f"exports.toml:{place}: ") and says in one], found


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    text = '[apps.shop]\nchekcs = 1\nnotify = ["gone"]\n[apps.web.schedule]\ntypes = ["Evnt"]\n'
    text += '[targets.q]\nkind = "x"'
    found = check(tmp_path, text, ROLE="server", POLL_FRIST_SECONDS="5", POLL_MAX_SECONDS="soon")
    for place in (
        "POLL_FRIST_SECONDS: no such setting; did you mean `POLL_FIRST_SECONDS`?", "ROLE:",
        "POLL_MAX_SECONDS:",
        "exports.toml:2: apps.shop.chekcs", "exports.toml:3: apps.shop.notify",
        "exports.toml:5: apps.web.schedule.types", "exports.toml:6: targets.q: kind must be one of",
    ):  # fmt: skip
        assert [one for one in found if one.startswith(place)], (place, found)


def test_settings_that_do_not_fit_together_are_all_named(tmp_path: Path) -> None:
    found = check(
        tmp_path,
        "",
        POLL_MAX_SECONDS="1",
        TOTAL_DEADLINE="7.00:00:00",
        EXPORT_API_AUTHORITY="http://x.example",
    )
    assert [one.partition(":")[0] for one in found] == [
        "POLL_MAX_SECONDS",
        "TOTAL_DEADLINE",
        "EXPORT_API_AUTHORITY",
    ]


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    assert check_all(LOCAL, tmp_path)[0] == []
    (problem,) = check_all({**LOCAL, "EXPORTS_CONFIG": "export.toml"}, tmp_path)[0]
    assert "EXPORTS_CONFIG: there is no export.toml" in problem


def test_secrets_are_there_and_well_formed(tmp_path: Path) -> None:
    assert check(tmp_path, HOOK, OPS_SECRET="whsec_c2VjcmV0") == []
    (missing,) = check(tmp_path, HOOK)
    assert missing.startswith("OPS_SECRET: set the signing secret of targets.ops")
    (bad,) = check(tmp_path, HOOK, OPS_SECRET="whsec_c2VjcmV0 ")
    assert "must be whsec_" in bad
    assert "c2Vj" not in bad


def test_a_host_that_nobody_knows_is_named_within_two_seconds(tmp_path: Path, monkeypatch) -> None:
    def slow(host: str, *_: object) -> None:
        if host == "slow.example":
            time.sleep(5)
        raise OSError

    monkeypatch.setattr(config_check.socket, "getaddrinfo", slow)
    text = "".join(
        f'[targets.{name}]\nkind = "webhook"\nurl = "https://{name}.example/x"\nsecret_setting = "S"\n'
        for name in ("slow", "gone")
    )
    began = time.monotonic()
    found = check(tmp_path, text, S="whsec_c2VjcmV0")
    assert time.monotonic() - began < 2
    assert len(found) == 2
    assert all("no name service here knows the host" in one for one in found)


def test_local_settings_count_and_their_errors_have_a_line(tmp_path: Path) -> None:
    values = {"DATA_STORAGE": "UseDevelopmentStorage=true", "LATE_DAYS": "40"}
    (tmp_path / "local.settings.json").write_text(json.dumps({"Values": values}))
    (problem,) = check_all({}, tmp_path)[0]
    assert problem.startswith("LATE_DAYS: ")
    (tmp_path / "local.settings.json").write_text('{"Values": {\n  "A": "b",\n}}')
    assert check_all(LOCAL, tmp_path)[0][0].startswith("local.settings.json:3: ")


def test_local_settings_that_are_encrypted_are_told(tmp_path: Path) -> None:
    values = {"IsEncrypted": True, "Values": {"DATA_STORAGE": "CfDJ8"}}
    (tmp_path / "local.settings.json").write_text(json.dumps(values))
    assert "run `func settings decrypt`" in check_all(LOCAL, tmp_path)[0][0]


def test_a_schedule_before_the_days_end_is_noted(tmp_path: Path) -> None:
    text = '[apps.a.schedule]\nat = {}\ntime_zone = "Asia/Tokyo"'
    (tmp_path / "exports.toml").write_text(text.format("08:59:00"))
    problems, notes = check_all(LOCAL, tmp_path)
    assert (problems, len(notes)) == ([], 1)
    assert "it is at 09:00" in notes[0]
    (tmp_path / "exports.toml").write_text(text.format("09:00:00"))
    assert check_all(LOCAL, tmp_path) == ([], [])


def test_the_command_says_it_and_tells_by_its_exit_code(tmp_path: Path, monkeypatch, capsys) -> None:
    for name, value in LOCAL.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "exports.toml").write_text('[apps.shop]\nchekcs = "strict"')
    assert main(["config", "check", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "did you mean `checks`" in err
    assert err.endswith("\n1 problem\n")
    assert main(["config", "check", str(tmp_path), "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert ([one.split(": ")[0] for one in told["problems"]], told["notes"]) == (["exports.toml:2"], [])
    (tmp_path / "exports.toml").write_text('[apps.shop]\nchecks = "strict"')
    assert main(["config", "check", str(tmp_path)]) == 0
    assert "well" in capsys.readouterr().out
    assert main(["config", "check", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"problems": [], "notes": []}


def test_start_names_the_problem_at_once_and_starts_nothing(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "exports.toml").write_text('[apps.shop]\nchekcs = "strict"')
    monkeypatch.setenv("EXPORTS_CONFIG", str(tmp_path / "exports.toml"))
    began = time.monotonic()
    with pytest.raises(StartError, match=r"chekcs.*did you mean `checks`"):
        start.start(None, tmp_path / "state", free_ports(1)[0], None, "devhost")  # type: ignore[arg-type]
    assert time.monotonic() - began < 2
    assert not (tmp_path / "state").exists()


def test_a_file_changed_since_the_start_is_noted_by_health(tmp_path: Path, monkeypatch) -> None:
    for name, value in {**LOCAL, "AzureWebJobsScriptRoot": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    caches = (services.get_settings, services._read_config)
    for cache in caches:
        cache.cache_clear()
    try:
        (tmp_path / "exports.toml").write_text("[apps.shop]")
        assert services.get_config().apps.keys() == {"shop"}
        assert "notes" not in Health({}, notes=services.config_notes).check()
        (tmp_path / "exports.toml").write_text("[apps.web]")
        (note,) = Health({}, notes=services.config_notes).check()["notes"]
        assert "exports.toml has changed since the app started" in note
        assert services.get_config().apps.keys() == {"shop"}
    finally:
        for cache in caches:
            cache.cache_clear()


def test_lines_are_found_below_headers_and_in_quotes() -> None:
    text = '# [no]\na = 1\n[x."y.z"]  # \nb.c = [\n  "d",\n]\n"e f" = 2\n[x]\ng = 3\n'
    assert key_lines(text) == {
        ("a",): 2, ("x",): 8, ("x", "y.z"): 3, ("x", "y.z", "b", "c"): 4, ("x", "y.z", "e f"): 7,
        ("x", "g"): 9,
    }  # fmt: skip
