"""Floor 5: the paper's figures, drawn with matplotlib (the extra `research`) from recordings, scores and bundles."""
