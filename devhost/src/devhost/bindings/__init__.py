"""Values that functions read and write besides their trigger: blobs and queue messages."""
