"""What the data sets with an official split share: describing a copy, reading its lists, checking its counts."""
