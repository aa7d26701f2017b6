"""Floor 3: from images to annotations. Reads files, runs the model, writes one row for every input image."""
