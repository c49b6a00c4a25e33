#!/usr/bin/env bash
# zarr-python: when writing to an array has raised, is the writing over?
#
# One would expect so: `X[:] = values` is a plain call, and an `except` that removes the half-written store, as after any
# full disk, seems enough. What happens: the chunks are written by tasks on zarr's own thread, the first error is raised
# at once, and the other tasks go on. The folder that was removed comes back with chunks in it. Writing one chunk a call
# avoids it.
#
# The store below finds no room for its first chunk and takes 0.3 s for each other one.
#
# Exits 0 if zarr still behaves so, 1 if it no longer does.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check "zarr==3.1.6"
venv/bin/python - <<'PY'
import asyncio
import shutil
import sys
import time
from pathlib import Path

import zarr
from zarr.storage import LocalStore


class Full(LocalStore):
    async def set(self, key, value, *args, **kwargs):
        if key == "X/0.0":
            raise OSError(28, "No space left on device")
        if key.startswith("X/") and key[2].isdigit():
            await asyncio.sleep(0.3)
        return await super().set(key, value, *args, **kwargs)


folder = Path("a.zarr").absolute()
group = zarr.open_group(Full(folder), mode="w", zarr_format=2)
X = group.create_array("X", shape=(8, 2), chunks=(1, 2), dtype="float32")
try:
    X[:] = 1
except OSError as error:
    print(f"zarr {zarr.__version__}: X[:] = 1 raised: {error}")
shutil.rmtree(folder)
gone = not folder.exists()
time.sleep(2)
back = sorted(p.name for p in folder.rglob("*") if p.is_file())
print(f"the folder was removed: {gone}; two seconds later it holds the chunks {back}")
sys.exit(0 if gone and back else 1)
PY
