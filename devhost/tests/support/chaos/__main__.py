"""Kill the local host at every commit and at random moments, beside a storage emulator; `make chaos`.

Prints its seed, every kill, and what was lost, doubled or stuck; the exit code is 1 if anything was.
"""

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from emulator import emulator

from chaos.run import run


def _say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--kills", type=int, default=25, help="at random moments (default: 25)")
    options = parser.parse_args()
    _say(f"seed {options.seed} (SEED={options.seed} repeats the kills; how the threads meet is chance)")
    folder = Path(tempfile.mkdtemp(prefix="devhost-chaos-"))
    with emulator(folder) as storage:
        problems = run(
            options.seed,
            storage.connection_string,
            kills=options.kills,
            numbers=(1, 3),
            folder=folder,
            say=_say,
        )
    if problems:
        _say("\n".join(problems))
        _say(f"seed {options.seed}; everything is in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
