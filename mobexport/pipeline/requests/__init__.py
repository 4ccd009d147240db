"""Requests for exports and batches: parse, keep, list, show, schedule."""
