"""The pictures of a run, each named by the question that it answers."""
