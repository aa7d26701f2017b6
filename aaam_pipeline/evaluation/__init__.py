"""Floor 4: from scores to metrics and plots. Reads only `scores.parquet`: cannot tell one method from another."""
