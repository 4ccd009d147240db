"""The registry of exports: requests, rows, states."""
