"""What a customer looked like on a day: orders in, features out. Knows no model."""

__version__ = "0.1.0"
