"""The HTTP surface, without a framework: a neutral request in, a neutral response out."""
