"""What each route does, once a request has been judged."""
