#!/usr/bin/env bash
# Builds every example anew: source to module with the example's own build.sh, module to component with edgehost.
set -euo pipefail
cd "$(dirname "$0")"
: "${PYTHON:=$PWD/../.venv/bin/python}"
export PYTHON
for recipe in */build.sh; do
  folder=${recipe%/build.sh}
  "./$recipe"
  "$PYTHON" -m edgehost build "$folder" | tail -1
done
