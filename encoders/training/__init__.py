"""Training: cells stream from files, one loop trains every encoder."""
