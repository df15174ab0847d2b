"""What a customer looked like on a day: the one definition of every feature."""
