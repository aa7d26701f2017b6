"""Files into which keywords were written: other bytes, the same photograph. Their rows stay, and nothing is decoded.

The ledger of decisions says which contents are one photograph (`same_as`). A row gets the hash, the size and the time
that its file has now.
"""

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from aaam_pipeline.annotate import moves
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.formats import decisions

# files of this machine: nothing is written into others
CHANGED = """
SELECT listed.*, matched.sha256 FROM matched JOIN listed USING (input)
WHERE state = 'changed' AND matched.sha256 IS NOT NULL AND NOT contains(listed.root, '://') ORDER BY input
"""
COMPARED = """
SELECT input, matched.sha256 AS before, hashes.sha256 AS now FROM matched JOIN hashes USING (input)
WHERE state = 'changed' AND matched.sha256 IS NOT NULL ORDER BY input
"""
KEEP = """
UPDATE matched SET state = 'kept', mtime = listed.mtime, new_bytes = listed.bytes, new_sha256 = same.now
FROM same JOIN listed USING (input) WHERE matched.input = same.input
"""


def keep_rows(database: duckdb.DuckDBPyConnection, ledger: Path | None, report: Reporter) -> None:
    """Mark inputs in the state `changed` as `kept` whose content the ledger names as that of their row."""
    if ledger is None or not ledger.exists():
        return
    changed = database.sql(CHANGED).to_arrow_table()
    if not changed.num_rows:
        return
    known = decisions.read(ledger)
    linked_N = known.photographs(changed["sha256"].to_pylist()) >= 0
    hashed = database.execute("SELECT input FROM hashes").fetchnumpy()["input"]
    wanted_N = linked_N & ~np.isin(changed["input"].to_numpy(), hashed)
    moves.add_hashes(database, changed.drop_columns("sha256").filter(pa.array(wanted_N)), report)
    compared = database.sql(COMPARED).to_arrow_table()
    before_N, now_N = (known.photographs(compared[name].to_pylist()) for name in ("before", "now"))
    same = compared.filter(pa.array((now_N >= 0) & (now_N == before_N)))
    database.register("same", same)
    database.execute(KEEP)
    database.unregister("same")
