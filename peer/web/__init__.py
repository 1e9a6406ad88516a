"""The user port: what people and programs may ask over HTTP."""
