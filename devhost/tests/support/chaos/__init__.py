"""Chaos tests: kill the local host, start it again, and check that nothing was lost or doubled."""
