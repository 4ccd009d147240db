"""Triggers: one Blueprint a module; parse, call, respond."""
