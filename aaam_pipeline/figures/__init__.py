"""The paper's figures, drawn with matplotlib (the extra `research`) from recordings, scores and bundles."""

from importlib.util import find_spec

from aaam_pipeline.core.errors import UsageError

if find_spec("matplotlib") is None:
    raise UsageError("figures need matplotlib: pip install 'aaam-pipe[research]'")
