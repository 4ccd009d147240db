"""Cost of importing the app at cold start, beside the SDKs alone and beside later imports.

Each row is the median of several new processes; run by `make bench-cold-start`.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
RUNS = 9
BASE = "import azure.functions, azure.durable_functions"
ROWS = {
    "azure.functions + azure.durable_functions": BASE,
    "function_app": "import function_app",
    "… + pydantic": "import function_app, pydantic",
    "… + pydantic, pydantic_settings": "import function_app, pydantic_settings",
    "… + mobexport.services (first request)": "import function_app, mobexport.services",
    "… + records (first step that writes)": (
        "import function_app, mobexport.services, mobexport.export_api.writer.scale_out,"
        " mobexport.pipeline.process.conversion"
    ),
    "… + tables (first step that commits)": (
        "import function_app, mobexport.services, mobexport.export_api.writer.scale_out,"
        " mobexport.pipeline.process.conversion, mobexport.tables.tables"
    ),
    "function_app + OpenTelemetry SDK": (
        "import function_app, opentelemetry.sdk.trace, opentelemetry.sdk.metrics"
    ),
    "function_app + exporter set up (first function)": (
        "import function_app; from mobexport.telemetry import exporting; exporting.check()"
    ),
    "mobexport.services + exporter set up": (
        "import function_app, mobexport.services;from mobexport.telemetry import exporting; exporting.check()"
    ),
}
# Nothing listens there, and nothing is sent before a process ends.
EXPORTER = {
    "TELEMETRY_EXPORTER": "azure_monitor_opentelemetry_exporter",
    "APPLICATIONINSIGHTS_CONNECTION_STRING": (
        "InstrumentationKey=00000000-0000-0000-0000-000000000000;IngestionEndpoint=http://127.0.0.1:9/"
    ),
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
}
# `ru_maxrss` of a child begins with its parent's; VmHWM is the process's own.
PROBE = """
import os, time
began = time.perf_counter()
{code}
took = time.perf_counter() - began
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
print(took, peak, flush=True)
os._exit(0)
"""


def main() -> None:
    figures = {}
    print(f"{'':<45}{'ms':>8}{'MiB':>8}")
    for name, code in ROWS.items():
        found = [_run(code) for _ in range(RUNS)]
        milliseconds = statistics.median(seconds for seconds, _ in found) * 1000
        mebibytes = statistics.median(kibibytes for _, kibibytes in found) / 1024
        print(f"{name:<45}{milliseconds:>8.0f}{mebibytes:>8.1f}")
        figures[name] = {"ms": round(milliseconds, 1), "MiB": round(mebibytes, 1)}
    print(json.dumps(figures, ensure_ascii=False))


def _run(code: str) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(code=code)],
        cwd=ROOT,
        env={**os.environ, **EXPORTER},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, kibibytes = done.stdout.split()
    return float(seconds), float(kibibytes)


if __name__ == "__main__":
    main()
