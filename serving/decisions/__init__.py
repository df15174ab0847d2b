"""What was decided about whom, and why: ids, the record, and the way back to the same answer."""

from serving.decisions.ids import decision_ids

__all__ = ["decision_ids"]
