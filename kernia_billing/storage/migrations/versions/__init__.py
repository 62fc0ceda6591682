"""One module a revision. What was released never changes."""
