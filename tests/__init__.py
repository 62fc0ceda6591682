"""The tests, and the servers that they run on."""
