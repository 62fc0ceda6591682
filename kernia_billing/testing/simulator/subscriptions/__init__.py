"""Subscriptions through their whole life, and the schedules that change them."""
