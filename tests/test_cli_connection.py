"""The app that commands speak to: options, environment, profiles, `az`."""

import os
from pathlib import Path

import pytest

from mobexport.cli.connection import LOCAL_URL, Connection, read_profile, resolve
from mobexport.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "profiles.toml"
    path.touch(0o600)
    path.write_text(
        '[default]\nurl = "https://a.example"\nkey = "KEY-A"\nsigning_secret = "whsec_QQ=="\n'
        '[default.settings]\nDATA_STORAGE = "x"\n'
        '[azure]\nresource_group = "rg"\nfunction_app = "fn"\n'
    )
    return path


def test_given_nothing_then_the_app_on_this_machine(tmp_path) -> None:
    assert resolve({}, {}, tmp_path / "none.toml") == Connection(LOCAL_URL)


def test_given_options_environment_and_profile_then_in_this_order(file) -> None:
    environ = {"MOBEXPORT_URL": "https://b.example/", "MOBEXPORT_KEY": "KEY-B"}
    assert resolve({"url": "https://c.example"}, environ, file) == Connection("https://c.example", "KEY-B")
    assert resolve({}, environ, file) == Connection("https://b.example", "KEY-B")
    assert resolve({}, {}, file) == Connection("https://a.example", "KEY-A", "whsec_QQ==")
    assert read_profile(None, {}, file).settings == {"DATA_STORAGE": "x"}


def test_given_a_url_of_ones_own_then_the_profiles_key_stays_home(file) -> None:
    assert resolve({"url": "https://elsewhere.example"}, {}, file).key == ""
    assert "KEY-A" not in repr(resolve({}, {}, file)) + repr(read_profile(None, {}, file))


def test_given_a_function_app_then_url_and_key_of_az(file, tmp_path, monkeypatch) -> None:
    az = tmp_path / "az"
    az.write_text(
        '#!/bin/sh\ncase "$*" in\n*"functionapp show "*"--name fn"*) echo \'"fn.example"\';;\n'
        '*"keys list"*"--resource-group rg"*) echo \'"KEY-Z"\';;\n*) exit 1;;\nesac\n'
    )
    az.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert resolve({"profile": "azure"}, {}, file) == Connection("https://fn.example", "KEY-Z")
    az.write_text("#!/bin/sh\necho 'ERROR: not logged in' >&2; exit 1\n")
    with pytest.raises(ConfigError, match="not logged in; az login"):
        resolve({"profile": "azure"}, {}, file)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match="Azure CLI"):
        resolve({"profile": "azure"}, {}, file)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[default", "profiles.toml"),
        ('[default]\ncolour = "red"', "may have"),
        ("[default]\nurl = 7", "text"),
        ('[default]\nfunction_app = "x"', "resource_group"),
        ('[default]\nurl = "a.example"', "not the URL"),
        ('[default]\nurl = "https://a.example/api"', "not the URL"),
        ('[default]\nurl = "http://a.example"', "https"),
    ],
)
def test_given_a_wrong_profile_then_the_place_and_the_remedy(file, text: str, says: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match=says):
        resolve({}, {}, file)


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_given_secrets_that_others_can_read_then_refused(file) -> None:
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        resolve({}, {}, file)
