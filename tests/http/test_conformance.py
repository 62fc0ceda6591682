"""schemathesis against the description of the routes: what it says is what they do, for requests of every kind."""
