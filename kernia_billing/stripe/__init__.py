"""The adapter to Stripe's HTTP API and to its webhook signatures.

Importing this package loads nothing; `client` needs httpx, the other modules need the standard library only.
"""
