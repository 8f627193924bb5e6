"""All of pytest: hooks, options, fixtures, markers; what they do is in the packages below.

Every pytest run of an environment imports ``hooks``, and most never ask about a GPU: imports of our own modules stand
inside its functions, so that an idle plugin costs next to nothing (``benchmarks/plugin_cost.py``).
"""
