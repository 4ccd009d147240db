"""Telemetry: one trace, a few metrics, and logs that name their export; by the OpenTelemetry API alone.

Without TELEMETRY_EXPORTER nothing is recorded here and nothing is imported that cold start does not have
already; the trace is still handed on (docs/adr/0011-telemetry.md). Nothing else of the app is known here.
"""
