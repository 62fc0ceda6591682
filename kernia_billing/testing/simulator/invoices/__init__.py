"""Invoices: what is on them, what they come to, how they are collected and corrected."""
