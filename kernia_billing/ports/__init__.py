"""What the core needs of the world: protocols whose methods adapters implement, blocking or async."""
