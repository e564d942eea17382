"""What FP-NAS claims, measured."""
