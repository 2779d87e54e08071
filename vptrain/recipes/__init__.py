"""Complete configurations for known settings, and the scripts that make what the package carries."""
