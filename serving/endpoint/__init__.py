"""The HTTP endpoint: what is asked, who may ask, and what answers."""
