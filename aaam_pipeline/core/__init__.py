"""Floor 1: what every room shares. Knows no other room, and neither torch nor ray."""
