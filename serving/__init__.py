"""Answers about a customer: score, stage, action. Knows features and the registry."""
