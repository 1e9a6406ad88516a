"""Who may ask what: roles, and API keys as records that reach every peer."""
