"""The record engine: bytes to records, checks, merging, and records to text and columns.

    lines, gunzip, parquet_rows, elements, csv_rows   bytes → lines, rows, elements
    structs, json_text, times                         declarations → typed records; JSON text as it stands
    checks, rejects                                   the rules, the verdict over one record; what it refused
    raw_records                                       lines → usable records and rejects
    keeping, sorting, merging                         records → their order, in memory that does not grow
    export_text                                       records → JsonBlob, CsvBlob
    file_records, columns                             elements → checked columns and rejects
    parquet_days                                      columns → Parquet, a file a day
    arrow, instants, formats, limits                  what several of them need

Both halves use it. Nothing here knows where bytes come from or go.
"""
