#!/usr/bin/env bash
# anndata 0.13.4: does a loop over the layers of an AnnData leave X alone?
#
# One would expect so, as up to 0.12: X is no layer. What happens: since 0.13 X is the layer None. A loop that
# normalises every layer normalises X too, in silence; len() counts one more; sorting or joining the names raises
# TypeError; a dict comprehension over the layers, assigned back, replaces X. Only a dictionary without the key None warns.
#
# Usage: anndata_counts_x_among_layers.sh [PYTHON3.12 OR NEWER]
# Exits 0 if anndata still behaves so, 1 if it no longer does, 2 without such a Python.
set -euo pipefail
python=${1:-$(for p in python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[23]*/bin/python; do "$p" -c "" 2>/dev/null && echo "$p" && break; done || true)}
[ -n "$python" ] || { echo "no Python 3.12 or 3.13 here: name one"; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$python" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check "anndata==0.13.4" "numpy==2.3.5"
cat >ask.py <<'PY'
import sys

import anndata as ad
import numpy as np

counts = np.array([[1.0, 3.0], [2.0, 2.0]])
adata = ad.AnnData(counts.copy(), layers={"spliced": counts.copy()})
for name in list(adata.layers):
    layer = adata.layers[name]
    adata.layers[name] = 100 * layer / layer.sum(axis=1, keepdims=True)
print("names of the layers:", list(adata.layers), " number:", len(adata.layers))
print("X after a loop that normalises every layer:", adata.X.tolist(), " before:", counts.tolist())
try:
    joined = ", ".join(adata.layers)
except TypeError as error:
    joined = f"TypeError: {error}"
print("joined names:", joined)
fresh = ad.AnnData(counts.copy(), layers={"spliced": counts.copy()})
fresh.layers = {name: values * 0 for name, values in fresh.layers.items()}
print("X after layers = {name: 0 for all}:", fresh.X.tolist())
so = None in adata.layers and not np.array_equal(adata.X, counts) and joined.startswith("TypeError") and not fresh.X.any()
sys.exit(not so)
PY
if venv/bin/python ask.py; then echo "anndata still counts X among the layers"; else echo "anndata no longer behaves so"; exit 1; fi
