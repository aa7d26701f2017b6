"""Floor 3: from annotations to an index. Reads only files: knows no model and no image."""
