"""The client half: from an export job to Parquet, manifest, pointers and notifications."""
