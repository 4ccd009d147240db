"""Container URLs: what passes, and the hostile ones that must not."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from mobexport.config import load_config
from mobexport.container_url import check_configured_url, check_container_url
from mobexport.errors import RequestError
from mobexport.settings import read_settings

NOW = datetime(2026, 11, 24, tzinfo=UTC)
HOST = "team.blob.core.windows.net"
SAS = "sv=2024-11-04&sr=c&sp=cw&se=2026-11-25T00%3A00%3A00Z&sig=c2VjcmV0"


def check(url: str, *, loopback: bool = False):
    return check_container_url(url, allowed_hosts={HOST}, allow_loopback=loopback, now=NOW)


@pytest.mark.parametrize(
    ("url", "can_overwrite"),
    [
        (f"https://{HOST}/landing-1?{SAS}", True),
        (f"https://{HOST}/landing-1?{SAS.replace('sp=cw', 'sp=c')}", False),
        (f"https://{HOST}/landing-1?sv=1&ss=b&srt=co&sp=w&se=2027-01-01&sig=x", True),
        (f"https://{HOST}/landing-1?sv=1&sr=c&si=policy&sig=x", True),
        (f"https://{HOST.upper()}/landing-1?{SAS}", True),
        (f"https://{HOST}/landing-1?{SAS}&st=2026-11-23T23:59:59.1234567Z&spr=https&sip=10.0.0.1", True),
        (f"https://{HOST}/landing-1?{SAS.replace('00%3A00%3A00Z', '00:00Z')}", True),
        (f"https://{HOST}/landing-1?{SAS}&spr=https,http&rsct={'x' * 8000}", True),
        (f"https://{HOST}/landing-1?{SAS}&skoid=1&sktid=2&skt=a&ske=b&sks=b&skv=c", True),
    ],
)
def test_given_a_usable_url_when_checked_then_its_parts(url: str, can_overwrite: bool) -> None:
    found = check(url)
    assert (found.host, found.container, found.can_overwrite) == (HOST, "landing-1", can_overwrite)
    assert "sig" not in repr(found)


def test_given_the_emulator_with_loopback_admitted_then_path_style_passes() -> None:
    url = f"http://127.0.0.1:10000/devstoreaccount1/landing-1?{SAS}"
    assert check(url, loopback=True).container == "landing-1"
    with pytest.raises(RequestError):
        check(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "landing-1",
        f"http://{HOST}/landing-1?{SAS}",
        f"ftp://{HOST}/landing-1?{SAS}",
        f"https://evil.example/landing-1?{SAS}",
        f"https://{HOST}.evil.example/landing-1?{SAS}",
        f"https://{HOST}:8443/landing-1?{SAS}",
        f"https://{HOST}@evil.example/landing-1?{SAS}",
        f"https://user:pass@{HOST}/landing-1?{SAS}",
        f"https://evil.example\\@{HOST}/landing-1?{SAS}",
        f"https://evil.example#@{HOST}/landing-1?{SAS}",
        f"https://[::1]/landing-1?{SAS}",
        f"https://127.0.0.1/landing-1?{SAS}",
        f"https://localhost/landing-1?{SAS}",
        f"https://169.254.169.254/landing-1?{SAS}",
        f"https://2130706433/landing-1?{SAS}",
        f"https://0x7f.1/landing-1?{SAS}",
        f"https://team%2eblob.core.windows.net/landing-1?{SAS}",
        f"https://{HOST}\n/landing-1?{SAS}",
        f"https://\t{HOST}/landing-1?{SAS}",
        f"https://téam.blob.core.windows.net/landing-1?{SAS}",
        f"https://{HOST}/?{SAS}",
        f"https://{HOST}/landing-1/?{SAS}",
        f"https://{HOST}/landing-1/folder?{SAS}",
        f"https://{HOST}/../landing-1?{SAS}",
        f"https://{HOST}//landing-1?{SAS}",
        f"https://{HOST}/Landing?{SAS}",
        f"https://{HOST}/$root?{SAS}",
        f"https://{HOST}/a--b?{SAS}",
        f"https://{HOST}/ab?{SAS}",
        f"https://{HOST}/landing%2d1?{SAS}",
        f"https://{HOST}/landing-1",
        f"https://{HOST}/landing-1?",
        f"https://{HOST}/landing-1?{SAS}#x",
        f"https://{HOST}/landing-1?{SAS}&sp=r",
        f"https://{HOST}/landing-1?{SAS.replace('sr=c', 'sr=b')}",
        f"https://{HOST}/landing-1?{SAS.replace('sr=c&', '')}",
        f"https://{HOST}/landing-1?{SAS.replace('sp=cw', 'sp=rl')}",
        f"https://{HOST}/landing-1?{SAS.replace('2026-11-25', '2026-11-23')}",
        f"https://{HOST}/landing-1?{SAS.replace('se=2026-11-25T00%3A00%3A00Z&', '')}",
        f"https://{HOST}/landing-1?{SAS.replace('2026-11-25T00%3A00%3A00Z', 'tomorrow')}",
        f"https://{HOST}/landing-1?{SAS.replace('&sig=c2VjcmV0', '')}",
        f"https://{HOST}/landing-1?sv=1&ss=b&srt=c&sp=w&se=2027-01-01&sig=x",
        f"https://{HOST}/landing-1?sv=1&ss=q&srt=o&sp=w&se=2027-01-01&sig=x",
        f"https://{HOST}/landing-1?{SAS}&st=2026-11-24T00:00:01Z",
        f"https://{HOST}/landing-1?{SAS}&st=soon",
        f"https://{HOST}/landing-1?{SAS}&SIG=x",
        f"https://{HOST}/landing-1?{SAS}&spr=http",
        f"https://{HOST}/landing-1?{SAS}&spr=",
        f"https://{HOST}/landing-1?{SAS}&spr=httpsx",
        f"https://{HOST}/landing-1?{SAS}&prefix=a",
        f"https://{HOST}/landing-1?{SAS}&code=x",
        f"https://{HOST}/landing-1?{SAS}&Sip=10.0.0.1",
        f"https://{HOST}/landing-1?{SAS}&=x",
        f"https://{HOST}/landing-1?{SAS}&rsct={'x' * 8192}",
        f"https://{HOST}/landing-1?{SAS}&comp=list&restype=container",
        f"https://{HOST}/landing-1?{SAS}&snapshot=2026-01-01T00:00:00Z",
        f"https://{HOST}/landing-1?{SAS.replace('sr=c', 'sr=d')}",
        f"https://{HOST}/landing-1?{SAS.replace('sr=c', 'sr=c%00')}",
        f"https://{HOST}/landing-1?{SAS.replace('sp=cw', 'sp=rl&si=policy')}",
        f"https://{HOST}/landing-1?{SAS.replace('2026-11-25', '2026-11-23')}&si=policy",
        f"https://{HOST}/landing-1?{SAS.replace('sp=cw', 'sp=')}",
        f"https://{HOST}/landing-1?{SAS.replace('2026-11-25T00%3A00%3A00Z', '2026-W50-3')}",
        f"https://{HOST}/landing-1?{SAS.replace('2026-11-25T00%3A00%3A00Z', '2026-11-25T00:00:00%2B24:00')}",
        f"https://{HOST}/landing-1?sv=1&ss=b&srt=o&sp=w&si=policy&sig=x",
        f"https://{HOST}/$logs?{SAS}",
        f"https://{HOST}/landing-1;x?{SAS}",
        f"https://{HOST}/landing-1%2fx?{SAS}",
        f"https://{HOST}/landing-1/..?{SAS}",
        f"https://{HOST}/-landing?{SAS}",
        f"https://{HOST}/{'a' * 64}?{SAS}",
        f"https://{HOST}./landing-1?{SAS}",
        f"https://.{HOST}/landing-1?{SAS}",
        f"https://{HOST}:443@evil.example/landing-1?{SAS}",
        f"https://{HOST}:/landing-1?{SAS}",
        f"https://{HOST}:99999/landing-1?{SAS}",
        f"https://{HOST}%40evil.example/landing-1?{SAS}",
        f"https://{HOST}%00.evil.example/landing-1?{SAS}",
        f"https://xn--tem-bma.blob.core.windows.net/landing-1?{SAS}",
        f"https://other.blob.core.windows.net/landing-1?{SAS}",
        f"https://evil.example/{HOST}/landing-1?{SAS}",
        f"https://[::ffff:127.0.0.1]/landing-1?{SAS}",
        f"https://[fe80::1%25eth0]/landing-1?{SAS}",
        f"https://127.0.0.1.nip.example/landing-1?{SAS}",
        f"https://localhost./landing-1?{SAS}",
        f"//{HOST}/landing-1?{SAS}",
        f"https:/{HOST}/landing-1?{SAS}",
        f"https:{HOST}/landing-1?{SAS}",
        f"https:\\\\{HOST}\\landing-1?{SAS}",
        f" https://{HOST}/landing-1?{SAS}",
        f"https://{HOST}/landing-1?{SAS}\r\nx-ms-version: 1",
        f"https://{HOST}/landing-1?{SAS}\x7f",
        f"javascript:https://{HOST}/landing-1?{SAS}",
        "https://[bad/landing-1?x",
    ],
)
def test_given_a_hostile_url_then_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(RequestError) as refused:
        check(url)
    assert "c2VjcmV0" not in refused.value.message
    assert refused.value.problems[0][0] == "containerUrl"


@pytest.mark.parametrize(
    "url",
    [
        f"http://127.0.0.2:10000/devstoreaccount1/landing-1?{SAS}",
        f"http://0.0.0.0:10000/devstoreaccount1/landing-1?{SAS}",
        f"http://localhost.evil.example/devstoreaccount1/landing-1?{SAS}",
        f"http://127.0.0.1@evil.example/devstoreaccount1/landing-1?{SAS}",
        f"http://127.0.0.1:10000/devstoreaccount1/a/landing-1?{SAS}",
        f"ftp://127.0.0.1/devstoreaccount1/landing-1?{SAS}",
        f"http://{HOST}/landing-1?{SAS}",
    ],
)
def test_given_development_when_another_host_is_named_then_still_refused(url: str) -> None:
    with pytest.raises(RequestError):
        check(url, loopback=True)


def test_given_configured_hosts_then_they_and_the_own_account_pass(tmp_path: Path) -> None:
    path = tmp_path / "exports.toml"
    path.write_text('[containers]\nhosts = ["partner.blob.core.windows.net"]')
    config = load_config(path, required=True)
    settings = read_settings({"DATA_STORAGE": "x"} | {"EXPORT_API_SCOPE": "api://x/.default"})
    own = f"https://{HOST}/"
    for host in (HOST, "partner.blob.core.windows.net"):
        assert check_configured_url(f"https://{host}/abc?{SAS}", settings, config, own, NOW).host == host
    for host in ("other.blob.core.windows.net", "127.0.0.1"):
        with pytest.raises(RequestError, match="storage account that this service may write to"):
            check_configured_url(f"https://{host}/abc?{SAS}", settings, config, own, NOW)
