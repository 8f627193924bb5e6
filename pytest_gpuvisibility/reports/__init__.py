"""Tell what was found: in the terminal, as JSON, as a page, as a badge, and compared with an earlier run."""
