"""What a run of each kind does in its process."""
