"""Programs of those who deploy: the package, and the smoke test. Never deployed themselves."""
