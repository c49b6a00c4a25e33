#!/usr/bin/env bash
# mypy wants one package on disk; the five top-level folders are one import package only after `package-dir` has mapped
# them. So it is shown a tree of links: bench/ with tasks/, methods/, data/ and reports/ below it.
set -euo pipefail
mypy=$(realpath --no-symlinks "$1")
root=$(cd "$(dirname "$0")/.." && pwd)
tree="$root/.mypy_cache/tree"
rm -rf "$tree"
mkdir -p "$tree/bench"
ln -s "$root"/bench/* "$tree/bench/"
for room in tasks methods data reports; do ln -s "$root/$room" "$tree/bench/$room"; done
cd "$tree"
MYPYPATH=. "$mypy" --config-file "$root/pyproject.toml" --cache-dir "$root/.mypy_cache" -p bench
