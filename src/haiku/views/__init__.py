"""Ways to look at a model: a table, a tree, a graph, a list of costs, a web page.

All of them watch a model run on shapes alone, through hooks and through JAX's own
record of what it traced; none keeps or changes anything, and no layer knows of them.
`timing` alone computes, and only where times are asked for.

By path: `tree` shows what `init` builds. By call: `calls` records them, `summary` lists
them, `call_costs` and `call_dtypes` say what each did, `table` shows these, `outlining`
makes of them an `outline`, which `outline_page` draws and `comparison` compares. By
equation: `graph` draws with `dot`, and `model_info` counts with `flops`, for
`model_info_page`. What JAX traced is read in `jaxprs` and `scopes` alone.
"""
