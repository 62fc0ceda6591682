"""The customer portal: its sessions, configurations and what a customer does there."""
