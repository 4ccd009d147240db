"""A local Azure Functions host in pure Python: HTTP, timers, blobs and Durable Functions."""
