"""AAAM's three training phases (section 5.4, Algorithm 1), on one or several devices."""
