"""Curated data as Delta Lake tables: their schema, their commits, what counts for a day.

Source: the Delta transaction log protocol, https://github.com/delta-io/delta/blob/master/PROTOCOL.md.
"""
