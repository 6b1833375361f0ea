#!/usr/bin/env bash
# setup-debian.sh demo|devices|test: installs what debian-packages.txt names for it, when this is Debian and we are root;
# otherwise says what is missing.
set -euo pipefail
cd "$(dirname "$0")"
target=${1:-test}
command -v dpkg-query >/dev/null || exit 0
missing=()
while read -r needed_by package provides; do
  [[ -z "$needed_by" || "$needed_by" == \#* ]] && continue
  [[ "$needed_by" == test && "$target" != test ]] && continue
  [[ "$needed_by" == devices && "$target" == demo ]] && continue
  [[ -n "$provides" ]] && command -v "$provides" >/dev/null && continue
  dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed && continue
  missing+=("$package")
done <debian-packages.txt
[[ ${#missing[@]} -eq 0 ]] && exit 0
if [[ $(id -u) -ne 0 ]]; then
  echo "set-up: not root, so these Debian packages are not installed: ${missing[*]}" >&2
  echo "set-up: what needs them may fail or is skipped; install them with: sudo apt-get install ${missing[*]}" >&2
  exit 0
fi
echo "set-up: Debian packages ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
