"""Convert collected files to Parquet and commit them."""
