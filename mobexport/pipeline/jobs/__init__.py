"""Export jobs: create, poll, stop waiting."""
