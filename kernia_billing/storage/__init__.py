"""The database adapter: the store port over SQLAlchemy Core, on SQLite, PostgreSQL and MySQL/MariaDB."""
