"""Ways to look at a model: a table, a tree, a graph, a list of costs, a web page.

All of them watch a model run on shapes alone, through hooks and through JAX's own
record of what it traced; none keeps or changes anything, and no layer knows of them.
`timing` alone computes, and only where times are asked for. `tree` stands on what
`init` builds, `table` on `summary`, `costs` and `graph` on `jaxprs`, `page` on `costs`,
`call_costs` on `summary` and `costs`. `outlining` makes of all these an `outline`: a
model as a tree of calls, which `outline_page` draws and `comparison` compares.
"""
