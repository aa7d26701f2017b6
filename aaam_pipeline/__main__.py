"""`aaam-pipe`, also as `python -m aaam_pipeline`."""

import sys

from aaam_pipeline.core.machine import limit_openmp
from aaam_pipeline.core.streams import ensure_utf8_names, prepare_streams


def main() -> None:
    """Run the command line; Ctrl-C ends quietly even while modules are still being loaded."""
    ensure_utf8_names()
    prepare_streams()
    limit_openmp()
    try:
        from aaam_pipeline.cli.app import app

        app(prog_name="aaam-pipe")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
