"""Typed layer over the Durable Functions SDK and HTTP: register, start, call, answer."""
