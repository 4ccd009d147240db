"""An attack on the running app by every peer it has; see `__main__`."""
