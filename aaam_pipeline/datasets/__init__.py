"""Data sets behind one interface (`listing`), found by name (`registry`), and what `prepare` makes of them."""
