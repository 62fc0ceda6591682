"""Checkout sessions, from their parameters to what paying one makes."""
