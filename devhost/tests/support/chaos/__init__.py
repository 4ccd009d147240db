"""Kills the local host on purpose, starts it again, and checks that nothing was lost or doubled."""
