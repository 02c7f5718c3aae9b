"""Ways to look at a model: a table, a tree, a graph, a list of costs, a web page.

All of them watch a model run on shapes alone, through hooks and through JAX's own
record of what it traced; none computes, keeps or changes anything, and no layer knows
of them. `tree` stands on what `init` builds, `table` on `summary`, `costs` and `graph`
on `jaxprs`, `page` on `costs`.
"""
