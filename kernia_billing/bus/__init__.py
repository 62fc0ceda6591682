"""Adapters of the event bus: in the process, over Redis streams, NATS JetStream, or PostgreSQL."""
