"""Reads the errors of calls: their kind, their reason, the wait they ask for and the limits they state."""
