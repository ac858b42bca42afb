"""Donors as the replicates of a comparison: designs, means, and the moderated t test."""
