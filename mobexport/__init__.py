"""The domain: export types, the Export API and the pipeline, free of azure.functions."""
