"""Folders that overlap: a file that has a row keeps its name, whichever folder, list or glob finds it later.

`photos/a/x.jpg` is `a/x.jpg` of `photos`, and `x.jpg` of `photos/a`. The name of its row stays: it never has two.
"""

from itertools import product

import duckdb

LOCATION = "rtrim(root, '/') || '/' || path"
# names that are among the inputs as they are, as lines of a list can be, are left alone
KNOWN_NAMES = f"""
UPDATE listed SET root = known.root, path = known.path FROM (
    SELECT unnamed.input, named.root, named.path
    FROM (SELECT input, {LOCATION} AS location FROM listed ANTI JOIN rows USING (root, path)) AS unnamed
    JOIN (
        SELECT DISTINCT ON (location) root, path, {LOCATION} AS location
        FROM rows ANTI JOIN listed USING (root, path) ORDER BY location, length(root)
    ) AS named USING (location)
) AS known WHERE listed.input = known.input
"""


def take_known_names(database: duckdb.DuckDBPyConnection) -> None:
    """Give inputs without a row of their name the name of the row that their file has, in the table `listed`."""
    roots, known = (
        {f"{root.rstrip('/')}/" for (root,) in database.execute(f"SELECT DISTINCT root FROM {table}").fetchall()}
        for table in ("listed", "rows")
    )
    if any(one != other and (one.startswith(other) or other.startswith(one)) for one, other in product(roots, known)):
        database.execute(KNOWN_NAMES)
