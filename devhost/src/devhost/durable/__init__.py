"""Durable Functions as the Durable extension does it: replay, state, and its two HTTP APIs."""
