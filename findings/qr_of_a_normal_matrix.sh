#!/usr/bin/env bash
# numpy.linalg.qr of a matrix of standard normal numbers: is Q a random rotation, all directions alike?
#
# One would expect so: the matrix looks the same from all sides, and code for orthogonal random features (FAVOR+ in
# scBERT and performer-pytorch, with torch.linalg.qr, the same LAPACK routine) takes the rows of Q^T as random directions.
# What happens: LAPACK's Householder reflections choose the signs of R's diagonal from the numbers, so the first entry of
# Q is negative in every draw (of any size above 1). numpy's page on qr says nothing of signs, torch's that the result is
# unique up to them, not that they are lopsided. With Q * sign(diag(R)), as in scipy.stats.ortho_group, they are even.
#
# Exits 0 if numpy still behaves so, 1 if it no longer does.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check "numpy==2.2.6"
venv/bin/python - <<'PY'
import sys

import numpy as np

rng = np.random.default_rng(0)
first, corrected = [], []
for _ in range(1000):
    q, r = np.linalg.qr(rng.standard_normal((4, 4)))
    first.append(q[0, 0])
    corrected.append((q * np.sign(np.diag(r)))[0, 0])
negative, even = sum(x < 0 for x in first), sum(x < 0 for x in corrected)
print(f"numpy {np.__version__}")
print(f"Q[0, 0] of 1,000 standard normal 4 x 4 matrices: negative in {negative}, mean {np.mean(first):.2f}")
print(f"with the columns of Q times the signs of R's diagonal: negative in {even}, mean {np.mean(corrected):.2f}")
sys.exit(0 if negative == 1000 and 440 < even < 560 else 1)
PY
