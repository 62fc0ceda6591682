"""The world as it is: the system's clock, random identifiers, real waiting."""
