"""Floor 3: AAAM's three training phases (section 5.4, Algorithm 1)."""
