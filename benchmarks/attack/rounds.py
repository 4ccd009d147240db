"""The rounds of the attack: one peer after the other, each against an app of its own."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import canary
from entra_tenant import EntraTenant

from benchmarks.attack import callers, export_apis, key_servers, storages, targets
from benchmarks.attack.scenario import NotHeld, Result, Scenario, play, play_beside
from benchmarks.attack.stage import HEALTHY, Stage, put_raw, running, storage_of
from benchmarks.exports import Watch
from localdev.azurite import Azurite
from localdev.webhook_receiver import new_secret
from mobexport.export_api.auth.signing_keys import PAUSE_SECONDS

HEALTHY_APP = f"[apps.{HEALTHY}]\n"
MEMORY = "Memory"
GOAL_MIB = 400
"""Of host and worker together, in any round."""
HOOK = {"HOOK_SECRET": new_secret()}


@dataclass
class Report:
    """What came of the attack so far. `peak` in MiB: host and worker together."""

    results: list[Result] = field(default_factory=list)
    peak: float = 0.0
    figures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Attack:
    """What a round needs: an emulator, a folder, choices, and where its results go."""

    azurite: Azurite
    folder: Path
    chance: random.Random
    short: bool
    report: Report

    @contextmanager
    def on(self, name: str, config: str = "", **settings: str) -> Iterator[Stage]:
        """A fresh app whose memory is watched."""
        with (
            running(self.azurite, self.folder / name, HEALTHY_APP + config, **settings) as stage,
            Watch(stage.app.pid).watching() as watched,
        ):
            yield stage
        self.report.peak = max(self.report.peak, watched["peak"])
        held = watched["peak"] <= GOAL_MIB
        problem = "" if held else f"{watched['peak']:.0f} MiB at the peak, not {GOAL_MIB} at most"
        self.report.results.append(Result(MEMORY, f"in the round {name}", watched["seconds"], problem))
        self.report.figures[f"peak in the round {name}"] = f"{watched['peak']:.0f} MiB"

    def play(self, scenarios: Sequence[Scenario], stage: Stage) -> None:
        """Scenarios of one peer, beside healthy exports."""
        self.report.results += play_beside(scenarios, stage.beside(scenarios[0].peer))

    def also(self, *scenarios: Scenario) -> None:
        """Scenarios one after the other, with nothing beside them."""
        self.report.results += map(play, scenarios)


def quiet(peer: str, folder: Path, secrets: Mapping[str, str]) -> Scenario:
    """The app's log and the host's state repeat no secret, in any spelling."""

    def judge() -> None:
        if found := canary.find(secrets, dict(canary.on_disk(folder))):
            raise NotHeld(f"{len(found)} times, the first: {found[0]}")

    return Scenario(peer, "no secret in log and state", judge)


def export_api_round(attack: Attack) -> None:
    """Malicious Export APIs, all at once."""
    apis = export_apis.ExportApis(export_apis.apis(attack.chance, short=attack.short))
    with apis, attack.on("export-apis", apis.config) as stage:
        attack.play(list(apis.scenarios(stage)), stage)
        attack.also(export_apis.listed(stage), storages.leftovers(stage, export_apis.PEER))
    attack.also(quiet(export_apis.PEER, attack.folder / "export-apis", apis.signatures()))


def hung_round(attack: Attack) -> None:
    """Three containers that hang, and healthy exports beside them."""
    with targets.Targets(short=True) as hostile, attack.on("hung", hostile.config, **HOOK) as stage:
        attack.also(targets.hung_scenario(stage, hostile, stage.alone(), attack.report.figures))


def webhook_round(attack: Attack) -> None:
    """Hostile webhooks, all at once."""
    with (
        targets.Targets(short=attack.short) as hostile,
        attack.on("webhooks", hostile.config, **HOOK) as stage,
    ):
        attack.play(list(hostile.webhooks(stage)), stage)


def container_round(attack: Attack) -> None:
    """Hostile containers, all at once."""
    with (
        targets.Targets(short=attack.short) as hostile,
        attack.on("containers", hostile.config, **HOOK) as stage,
    ):
        attack.play(list(hostile.containers(stage)), stage)
    attack.also(quiet(targets.CONTAINER, attack.folder / "containers", {"SAS": targets.SIGNATURE}))


def caller_round(attack: Attack) -> None:
    """Container URLs, odd requests and bodies, then races."""
    hosts = f'[containers]\nhosts = ["{callers.HOST}"]\n'
    with attack.on("callers", hosts) as stage:
        attack.play(list(callers.url_scenarios(stage)), stage)
        attack.play(list(callers.request_scenarios(stage, attack.chance, short=attack.short)), stage)
        attack.also(callers.flood(stage), callers.slow_senders(stage))
        attack.also(*callers.race_scenarios(stage, short=attack.short))
    attack.also(quiet(callers.URLS, attack.folder / "callers", {"SAS": callers.SIGNATURE}))


def key_server_round(attack: Attack) -> None:
    """Wrong tokens, then a hostile key server. The pipeline half is off: it would need tokens of its own."""
    with (
        EntraTenant() as tenant,
        attack.on("key-servers", key_servers.CONFIG, ROLE="export-api", **tenant.settings) as stage,
    ):
        attack.also(key_servers.cold_scenario(stage, tenant))
        known = time.monotonic()
        attack.also(*key_servers.token_scenarios(stage, tenant, attack.chance, short=attack.short))
        if not attack.short:
            # Made-up keys make the app ask again, a minute after the last good answer.
            time.sleep(max(known + PAUSE_SECONDS - time.monotonic(), 0))
            attack.also(*key_servers.key_scenarios(stage, tenant))


def storage_round(attack: Attack) -> None:
    """Storage that fails in the middle, then storage that loses what the app made."""
    with (
        storages.StorageProxy(attack.azurite) as proxy,
        attack.on("storage", DATA_STORAGE=proxy.connection_string) as stage,
    ):
        attack.also(*storages.proxied(stage, proxy, short=attack.short))
        attack.also(*storages.deleted(stage, short=attack.short))


ROUNDS: dict[str, Callable[[Attack], None]] = {
    "export-apis": export_api_round,
    "hung": hung_round,
    "webhooks": webhook_round,
    "containers": container_round,
    "callers": caller_round,
    "key-servers": key_server_round,
    "storage": storage_round,
}


def attack(folder: Path, chance: random.Random, *, short: bool, only: str = "") -> Report:
    """All rounds, or those whose name contains `only`."""
    report = Report()
    for name, play_round in ROUNDS.items():
        if only in name:
            # What one round leaves behind, such as tasks that try for hours, is not to disturb the next.
            with Azurite(folder / name / "azurite.log") as azurite:
                put_raw(storage_of(azurite.connection_string), days=30 if short else 150)
                play_round(Attack(azurite, folder, chance, short, report))
    return report
