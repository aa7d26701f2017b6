"""What every room shares: errors, checksummed files, journals, locks, parameters, progress."""
