"""File formats: one file a format, and the table that recognises them."""
