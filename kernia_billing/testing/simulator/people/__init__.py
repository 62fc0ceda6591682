"""What people and banks do, step by step, as scripts, and who makes the calls of a script."""
