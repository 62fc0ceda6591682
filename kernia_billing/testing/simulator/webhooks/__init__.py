"""Events on their way out: endpoints and destinations, parcels and signatures, what goes wrong, thin events."""
