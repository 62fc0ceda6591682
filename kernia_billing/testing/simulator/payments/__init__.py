"""Money moving: cards, intents, charges, refunds and disputes."""
