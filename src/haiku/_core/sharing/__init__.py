"""Parameters that are shared between modules, or computed from others."""
