"""From images to annotations: reads files, runs the model, writes one row for every input image."""
