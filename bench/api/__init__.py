"""``bench`` from Python: what ``import bench`` offers, and what the command line calls.

Like the command line this folder may import the other rooms, inside functions.
"""
