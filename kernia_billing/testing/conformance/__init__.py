"""What an adapter must do to be one: suites that anybody's implementation of a port can run."""
