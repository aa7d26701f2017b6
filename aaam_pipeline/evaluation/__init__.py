"""From scores to metrics, tables and the report; knows methods only by their `scores.parquet`.

`evaluate` is the stage of that name, `report` the one that lays our numbers beside the paper's; `inputs` finds what a
report is about, `paper_tables` and `sections` say it as a `document`, which is Markdown or HTML in the end.
"""
