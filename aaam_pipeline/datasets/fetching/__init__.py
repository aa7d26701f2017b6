"""Getting the publishers' archives: addresses, transfer, unpacking."""
