#!/usr/bin/env bash
# Seurat 5.2.1: does the p of FindMarkers(test.use = "wilcox") depend on anything but the cells?
#
# One would expect not: it is the default test, with the same arguments. What happens: Seurat takes p from presto, else
# limma, else R's own wilcox.test, whichever is installed. The first two are the normal approximation; wilcox.test is
# exact where both groups have fewer than 50 cells and no two values are equal. Installing limma, which no line of the
# analysis names, makes p six times as large. `exact = FALSE`, passed through `...`, makes them agree.
#
# Needs root and debootstrap (a Debian 13 in a temporary folder, about 1 GB); takes some minutes.
#
# Exits 0 if Seurat still behaves so, 1 if it no longer does.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
export DEBIAN_FRONTEND=noninteractive LC_ALL=C TZ=UTC
install() { chroot "$work" apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1; }
debootstrap --variant=minbase trixie "$work" >/dev/null
install r-cran-seurat=5.2.1-5

cat >"$work/tmp/ask.R" <<'R'
suppressPackageStartupMessages({library(Seurat); library(Matrix)})
x <- rbind(apart = 1:16, almost = c(2:9, 1, 10:16), mixed = c(seq(1, 15, 2), seq(2, 16, 2))) / 4
colnames(x) <- paste0("cell", 1:16)
x <- as(as(x, "CsparseMatrix"), "dgCMatrix")
cells <- SetAssayData(CreateSeuratObject(x), layer = "data", new.data = x)
Idents(cells) <- rep(c("a", "b"), each = 8)
p <- function(...) FindMarkers(cells, ident.1 = "a", ident.2 = "b", min.pct = 0, logfc.threshold = 0, verbose = FALSE, ...)["apart", "p_val"]
cat(sprintf("%.6f %.6f\n", p(), p(exact = FALSE)))
R
ask() { chroot "$work" Rscript --vanilla /tmp/ask.R 2>/dev/null; }
alone=$(ask)
install r-bioc-limma
beside=$(ask)
echo "Seurat 5.2.1, a gene that separates 8 cells from 8: p by default, and with exact = FALSE"
echo "without limma: $alone"
echo "with limma:    $beside"
[ "$alone" = "0.000155 0.000939" ] && [ "$beside" = "0.000939 0.000939" ] || exit 1
