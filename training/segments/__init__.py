"""Segments that are fitted once and kept, so that a customer's is comparable from day to day."""
