"""From annotations to an index: score columns in DuckDB, vectors in FAISS; knows no model and no image."""
