#!/usr/bin/env bash
# vaeda 0.0.1, the only version on PyPI (April 2022): does `pip install vaeda` give a package that can be imported?
#
# One would expect so: it is the doublet caller of a published paper, with a wheel. What happens: the wheel asks PyPI for
# modules of Python's own standard library (`random`, `math`; nobody publishes those), so that pip finds no solution. Without its
# requirements the import fails, too: its files import each other as if they lay at the top (`from vae import ...`), and one of
# the modules they import, plot_results, is not in the wheel at all.
#
# Usage: vaeda_cannot_be_installed.sh [PYTHON]
# Exits 0 if vaeda is still so, 1 if it no longer is.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${1:-python3}" -m venv venv
pip() { venv/bin/python -m pip --disable-pip-version-check "$@"; }
pip install --quiet --no-deps vaeda==0.0.1 2>/dev/null
site=$(venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
wants=$(grep -E '^Requires-Dist: (random|math|pathlib|sklearn)$' "$site"/vaeda-0.0.1.dist-info/METADATA | cut -d' ' -f2 | sort | tr '\n' ' ')
echo "it asks PyPI for: $wants"
for name in random math; do
  if pip download --quiet --no-deps "$name" 2>/dev/null; then echo "$name is on PyPI now"; exit 1; fi
done
imports=$(grep -hoE '^from (plot_results|vae|PU|classifier|mk_doublets|cluster) import' "$site"/vaeda/vaeda.py | cut -d' ' -f2 | sort | tr '\n' ' ')
echo "vaeda/vaeda.py imports as if at the top: $imports"
echo "files of the wheel: $(cd "$site"/vaeda && ls ./*.py | tr '\n' ' ')"
said=$(venv/bin/python -c 'import vaeda' 2>&1 | tail -1 || true)
echo "import vaeda: $said"
case "$wants|$said" in
  "math pathlib random sklearn |ModuleNotFoundError: No module named 'vae'")
    [ ! -e "$site"/vaeda/plot_results.py ] && [[ $imports == *plot_results* ]] && echo "vaeda still cannot be installed" && exit 0 ;;
esac
echo "vaeda is no longer so"
exit 1
