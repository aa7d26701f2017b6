"""Speed, always as a ratio within one run: `make bench`."""

import os

# as `aaam-pipe annotate` does before torch is loaded
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
