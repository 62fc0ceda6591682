"""How options become one validated configuration. `kernia_billing.config` is the public face."""
