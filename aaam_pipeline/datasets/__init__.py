"""Floor 2: data sets, all behind one interface (`listing.py`), found by name (`registry.py`)."""
