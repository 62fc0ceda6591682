"""What there is in the account, whatever is asked of it: objects, clocks, due work, events, how they look outside."""
