"""The table of docs/deploy.md: what each step needs and makes, as the doubles saw it."""

from __future__ import annotations

from collections import Counter
from typing import Final

from rehearsal.cloud import Cloud

_STEPS: Final = {
    "entra.sh": "`check.sh`, `entra.sh`",
    "main.bicep": "`main.bicep`",
    "secrets.sh": "`secrets.sh`",
    "package": "the package",
    "eventgrid.sh": "`eventgrid.sh`",
    "smoke.sh": "`smoke.sh`",
}


def table(cloud: Cloud) -> str:
    """One row for each step of a first deployment."""
    rows = ["| step | needs | makes |", "|---|---|---|"]
    for step, title in _STEPS.items():
        needs = "; ".join(cloud.data["needs"].get(step, ()))
        made = Counter(kind.rsplit("/", 1)[-1] for kind in cloud.data["makes"].get(step, ()))
        makes = ", ".join(f"{count} {name}" if count > 1 else name for name, count in made.items())
        rows.append(f"| {title} | {needs} | {makes} |")
    return "\n".join(rows)
