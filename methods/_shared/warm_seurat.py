"""R with Seurat loaded: imported by the fork server, once for all trials, each of which would take 7 CPU seconds to.

R's temporary folder goes again, as it is none of the trials' own: :func:`bench.methods._shared.r_bridge.call_r` has R
make another in a trial's scratch.
"""

from bench.methods._shared.r_bridge import start_r

start_r().r("suppressPackageStartupMessages(library(Seurat)); unlink(tempdir(), recursive = TRUE)")
