"""A workspace as one file, and a file as a workspace again."""
