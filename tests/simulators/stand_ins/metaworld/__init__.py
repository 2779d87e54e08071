"""Stands in for Meta-World where it is not installed: a point that is to reach another one, by the same interface.

Of `reach-v3` every third seed fails, of `sweep-v3` every one; `push-v3` kills its process at seed 2;
`door-open-v3` hangs at seed 1.
"""
