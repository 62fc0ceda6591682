"""What the library does: one module a noun, each function written once, over ports."""
