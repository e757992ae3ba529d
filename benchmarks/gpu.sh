#!/usr/bin/env bash
# Makes what is missing of the gpu profile of every study, in one slice of under ten minutes:
#
#     benchmarks/gpu.sh DATA_DIR [OUT]
#
# OUT is benchmarks/results unless given. Run it again until it says that nothing is missing (exit 0); while
# trials are missing it ends with 75. JOBS (4) trials share the device; MINUTES (9) is the length of a slice,
# DEVICE (cuda) where they run, PROFILE (gpu) what, NERVURE the command.
set -uo pipefail

data=${1:?usage: benchmarks/gpu.sh DATA_DIR [OUT]}
root=$(cd "$(dirname "$0")/.." && pwd)
out=${2:-$root/benchmarks/results}
jobs=${JOBS:-4} minutes=${MINUTES:-9} device=${DEVICE:-cuda} profile=${PROFILE:-gpu}
nervure=${NERVURE:-}
if [ -z "$nervure" ]; then
  if [ -x "$root/.venv/bin/nervure" ]; then nervure=$root/.venv/bin/nervure; else nervure=nervure; fi
fi

field() { # the number of a field of the JSON on stdin, without needing a Python by name
  sed -n "s/^ *\"$1\": \([0-9]*\),\{0,1\}\$/\1/p" | head -n 1
}

studies=$("$nervure" reproduce --list --json | sed -n 's/^ *"name": "\(.*\)",\{0,1\}$/\1/p')
[ -n "$studies" ] || { echo "gpu.sh: no study was listed" >&2; exit 1; }

missing=0 failed=0
for study in $studies; do
  left=$(awk -v all="$minutes" -v gone="$SECONDS" 'BEGIN { left = all - gone / 60; print (left > 0 ? left : 0) }')
  report=$("$nervure" reproduce "$study" --profile "$profile" -o "$out" --data-dir "$data" --device "$device" \
    --jobs "$jobs" --minutes "$left" --json) || failed=1
  count=$(field missing <<<"$report")
  missing=$((missing + ${count:-1}))
done

[ "$failed" = 0 ] || { echo "gpu.sh: something failed, see above" >&2; exit 1; }
if [ "$missing" != 0 ]; then
  echo "gpu.sh: $missing trials are missing; run it again to go on" >&2
  exit 75
fi
echo "gpu.sh: nothing is missing in $out" >&2
