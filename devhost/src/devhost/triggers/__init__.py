"""Triggers that start functions by themselves: timers and polled blobs."""
