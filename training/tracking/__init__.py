"""What a training leaves behind for the analyst, in MLflow."""
