#!/usr/bin/env bash
# R and Seurat from Debian (12: Seurat 4.3.0, 13: 5.2.1), and what rpy2 needs to be built. Optional for users; CI runs it.
set -euo pipefail

# Asked of R itself, since not every R keeps its packages where Debian's does.
installed() {
  command -v Rscript >/dev/null && Rscript --vanilla -e '
    if (!nzchar(system.file(package = "Seurat"))) quit(status = 1)
    cat("R", format(getRversion()), "with Seurat", format(packageVersion("Seurat")), "is installed\n")'
}
installed && exit 0
sudo=$([ "$(id -u)" = 0 ] || echo sudo)
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
$sudo apt-get install -y -qq --no-install-recommends r-base r-base-dev r-cran-seurat >/dev/null
installed
