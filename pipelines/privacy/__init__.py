"""What the installation holds of a person: erased, given out, and kept no longer than it may."""
