"""The `vpdata` command: one file a verb, `app` registers them."""
