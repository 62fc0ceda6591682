"""The front door: requests, what is checked of every one, lists and search, limits and faults."""
