#!/usr/bin/env bash
# numba 0.68.1 on Python 3.13: does a loop that stands in a prange give the same with parallel=True as without?
#
# One would expect so: the iterations of prange are independent, and what is inside one is plain code. What happens:
# where the inner loop is left by `break` (Newton steps until nothing changes, say), a value that each step computes
# anew is computed once, from the first step, and the wrong number is returned without a warning. The same loop with the
# condition in `while`, without `break`, or in a function of its own is right; so is parallel=False. Seen in 0.61.2,
# 0.63.1, 0.65.1, 0.67.0 and 0.68.1 on Python 3.13.0, never on 3.11.7; on 3.12.1 it depends on the loop (this one is
# right there, one that copies d[i] to a name first is not).
#
# Usage: numba_break_in_prange.sh [PYTHON3.13]
# Exits 0 if numba still behaves so, 1 if it no longer does, 2 without a Python 3.13.
set -euo pipefail
python=${1:-$(for p in python3.13 "$HOME"/.pyenv/versions/3.13*/bin/python; do "$p" -c "" 2>/dev/null && echo "$p" && break; done || true)}
[ -n "$python" ] || { echo "no Python 3.13 here: name one"; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$python" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check "numba==0.68.1" "numpy==2.3.5"
cat >ask.py <<'PY'
import sys

import numba
import numpy as np
from numba import njit, prange


@njit(parallel=True)
def with_break(n, d, out):
    for i in prange(n.size):
        w = n[i]
        last = 0.0
        for step in range(25):
            det = w + 0.16
            a = d[i] / det
            if abs(a - last) < 1e-8:
                break
            last = a
            w = n[i] / (1 + a * a * 1e-3)
        out[i, 0], out[i, 1] = a, det


@njit(parallel=True)
def with_while(n, d, out):
    for i in prange(n.size):
        w = n[i]
        last, a = 0.0, 1.0
        while abs(a - last) > 1e-8:
            last = a
            det = w + 0.16
            a = d[i] / det
            w = n[i] / (1 + a * a * 1e-3)
        out[i, 0], out[i, 1] = a, det


n, d = np.array([30.0, 30.0, 30.0]), np.array([10.0, 5.0, 7.0])
right, broken, whiled = np.zeros((3, 3, 2))
with_break.py_func(n, d, right)
with_break(n, d, broken)
with_while(n, d, whiled)
print(f"numba {numba.__version__}, numpy {np.__version__}, Python {sys.version.split()[0]}")
for name, values in (("plain Python", right), ("prange, break", broken), ("prange, while", whiled)):
    print(f"{name:14} a {values[0, 0]:.8f}, det {values[0, 1]:.8f}")
first_step = np.allclose(broken[:, 1], n + 0.16, rtol=1e-12) and not np.allclose(broken, right, rtol=1e-6)
sys.exit(0 if first_step and np.allclose(whiled, right, rtol=1e-6) else 1)
PY
venv/bin/python ask.py
