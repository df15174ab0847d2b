"""Feast's own extension points: faster stores than its stock parts, under the same API."""
