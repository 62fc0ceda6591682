"""Customers, and what belongs to one of them: balance, tax ids, entitlements."""
