"""``python -m bench.cli``: the same as ``bench``, for engines that need a module to start."""

from bench.cli import main

main()
