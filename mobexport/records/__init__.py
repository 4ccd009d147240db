"""The record engine: bytes to records, checks, merging, and records to text and columns.

    lines, gunzip, parquet_rows, elements, csv_rows   bytes → lines, rows, elements
    structs, json_text, times                         declarations → typed records; JSON text as it stands
    checks                                            the rules, and the verdict over one record
    raw_records, file_records                         blocks → usable records and rejects, fast and slow path
    merging, sorting                                  records → their order, in memory that does not grow
    export_text                                       records → JsonBlob, CsvBlob
    columns, parquet_days                             records → Arrow columns → Parquet, a file a day

Both halves use it. Nothing here knows where bytes come from or go.
"""
