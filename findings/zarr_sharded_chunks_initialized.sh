#!/usr/bin/env bash
# zarr 3.1.6: of an array in shards, `nchunks_initialized` can be larger than `nchunks`.
#
# One would expect it between 0 and nchunks, as without shards: "nchunks - nchunks_initialized" is how one finds out how
# many chunks are missing. But each shard that is there counts as full: 1,001 values in chunks of 100 and shards of 1,000
# have 11 chunks, of which 20 are said to be initialised, so -9 are missing. What can be compared are shards:
# nchunks_initialized // (chunks in a shard).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q zarr==3.1.6
"$folder/venv/bin/python" - "$folder/a.zarr" <<'PY'
import sys
import numpy as np
import zarr

group = zarr.open_group(sys.argv[1], mode="w", zarr_format=3)
plain = group.create_array("plain", shape=(1001,), dtype="i4", chunks=(100,))
sharded = group.create_array("sharded", shape=(1001,), dtype="i4", chunks=(100,), shards=(1000,))
for array in (plain, sharded):
    array[:] = np.arange(1, 1002)
found = [(a.nchunks, a.nchunks_initialized) for a in (plain, sharded)]
print("zarr", zarr.__version__, "(nchunks, nchunks_initialized): plain", found[0], "sharded", found[1])
sys.exit(found != [(11, 11), (11, 20)])
PY
