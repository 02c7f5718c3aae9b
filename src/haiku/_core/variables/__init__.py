"""Parameters and state, and the hooks between them and the modules that use them."""
