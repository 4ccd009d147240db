"""Orchestrators: deterministic generators, one a module, named after it."""
