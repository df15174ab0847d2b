"""Optuna over folds that are binned once: studies that last, on one process or on many."""
