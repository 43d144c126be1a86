#!/usr/bin/env bash
# Records a flamegraph of each main path: the load test's scenario runs, perf samples the proxy, fold.py draws.
# Where the processor's counters are not to be had (virtual machines), perf samples by the clock instead.
#
#   flamegraphs/record.sh                         the main paths
#   flamegraphs/record.sh l7-close-64 l4-small-128
#   PROXY=haproxy flamegraphs/record.sh …         the same of another proxy, for comparison
set -euo pipefail
cd "$(dirname "$0")/.."
here=flamegraphs
proxy=${PROXY:-fastlb}
scenarios=("$@")
[ ${#scenarios[@]} -gt 0 ] || scenarios=(l7-keepalive-128 l7-rules-128 l7-close-64 l4-small-128 l4-1m-16)

binary=()
if [ "$proxy" = fastlb ]; then
  # Frame pointers make stacks cheap to walk; they cost too much truth to be in the measured build.
  target=${CARGO_TARGET_DIR:-target}/flamegraph
  RUSTFLAGS="${RUSTFLAGS:-} -C force-frame-pointers=yes" cargo build --release --locked --target-dir "$target"
  binary=(--fastlb "$target/release/fastlb")
fi

data=$(mktemp)
trap 'rm -f "$data" "$data.old"' EXIT
for scenario in "${scenarios[@]}"; do
  python3 loadtest/run.py --only "$scenario" --proxies "$proxy" --rounds 1 --seconds "${SECONDS_EACH:-5}" \
    --logs off --out tmp/flamegraph --perf "$data" "${binary[@]}"
  perf script -i "$data" -F comm,pid,tid,time,event,ip,sym,dso 2>/dev/null |
    python3 $here/fold.py --title "$proxy: $scenario" >"$here/$proxy-$scenario.svg"
  echo "written: $here/$proxy-$scenario.svg"
done
