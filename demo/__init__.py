"""A small SaaS with plans, checkout and limits, to be run with `python -m demo`; read `app.py` first."""
