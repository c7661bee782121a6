"""What makes a site of the pages: docstrings, formulas, and the pages that are generated."""
