#!/usr/bin/env bash
# R and Seurat from Debian, and what rpy2 needs to be built. Optional for users; CI runs it.
set -euo pipefail
if command -v R >/dev/null && [ -d /usr/lib/R/site-library/Seurat ]; then
  echo "R $(R --version | sed -n '1s/R version \([0-9.]*\).*/\1/p') with Seurat is installed"
  exit 0
fi
sudo=$([ "$(id -u)" = 0 ] || echo sudo)
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
$sudo apt-get install -y -qq --no-install-recommends r-base r-base-dev r-cran-seurat >/dev/null
R --version | head -1
