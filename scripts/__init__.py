"""Programs for deploying: the package, and the smoke test. Never deployed themselves."""
