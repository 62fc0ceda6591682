"""Usage told to Stripe, what it is counted and billed as, and the credit that pays for it."""
