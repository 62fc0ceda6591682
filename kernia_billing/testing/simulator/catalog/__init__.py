"""What is sold, and what is taken off or added to its price."""
