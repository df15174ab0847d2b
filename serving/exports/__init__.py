"""Changed customers for other systems, in the columns of a mapping file."""
