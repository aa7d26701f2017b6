"""The paper's figures, drawn with matplotlib (the extra `research`) from recordings, scores and bundles."""

from aaam_pipeline.core.extras import need

need("research", "matplotlib")
