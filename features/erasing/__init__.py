"""Taking persons out of what the platform holds of customers: facts, events, features."""
