"""What can go wrong, one small class each."""
