"""Parameters and state, and the hooks between them and the modules that use them.

The values themselves lie in a run (`runs`).
"""
