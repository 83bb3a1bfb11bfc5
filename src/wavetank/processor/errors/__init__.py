"""Reads what a failed call says: its kind, its reason, the wait it asks for and the limits it tells."""
