"""The `vptrain` command: one file a verb, `app` registers them."""
