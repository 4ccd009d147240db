"""The Durable Functions SDK and the HTTP routes, typed: register, start, call, answer."""
