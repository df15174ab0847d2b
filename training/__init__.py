"""Models learned from those days. Knows features."""
