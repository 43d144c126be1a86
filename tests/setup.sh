#!/usr/bin/env bash
# Installs what the named groups need and says nothing when all of it is there.
# Debian packages come through apt-get (as root, or through sudo), Rust tools through cargo install.
# To add a need: a line in `packages_of`, or a function of the group's name.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
has() { command -v "$1" >/dev/null 2>&1; }

# Prints `command:package` pairs; a package is installed when its command (or file) is missing.
packages_of() {
  case "$1" in
    compiler) echo cc:build-essential ;;
    demo) echo curl:curl socat:socat ;;
    peers) echo haproxy:haproxy nginx:nginx-light /usr/lib/nginx/modules/ngx_stream_module.so:libnginx-mod-stream \
                curl:curl h2load:nghttp2-client wrk:wrk openssl:openssl python3:python3 node:nodejs ;;
    valgrind) echo valgrind:valgrind ;;
    perf) echo perf:linux-perf ;;
  esac
}

install_packages() {
  local group pair need=()
  for group in "$@"; do
    for pair in $(packages_of "$group"); do
      case "${pair%%:*}" in
        /*) [ -e "${pair%%:*}" ] || need+=("${pair##*:}") ;;
        *) PATH="$PATH:/usr/sbin:/sbin" has "${pair%%:*}" || need+=("${pair##*:}") ;;
      esac
    done
  done
  [ ${#need[@]} -gt 0 ] || return 0
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    has sudo || { say "needs root or sudo to install: ${need[*]}"; exit 1; }
    as_root=(sudo)
  fi
  has apt-get || { say "needs these Debian packages, and there is no apt-get here: ${need[*]}"; exit 1; }
  say "installing ${need[*]}"
  # Packages must not start their services: the tests start their own.
  local no_services=/usr/sbin/policy-rc.d made=
  if [ ! -e $no_services ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $no_services >/dev/null
    "${as_root[@]}" chmod +x $no_services
    made=1
  fi
  local status=0
  {
    "${as_root[@]}" apt-get update -qq &&
      "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}"
  } >&2 || status=$?
  [ -z "$made" ] || "${as_root[@]}" rm -f $no_services
  return $status
}

components() {
  cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 && return 0
  has rustup || { say "needs rustfmt and clippy for this toolchain"; exit 1; }
  rustup component add rustfmt clippy
}

# A debug build of a Rust tool compiles several times faster and is quick enough for this project.
cargo_tool() { cargo "$1" --version >/dev/null 2>&1 || { say "installing cargo-$1"; cargo install --locked --debug "cargo-$1"; }; }

nextest() { cargo_tool nextest; }
deny() { cargo_tool deny; }

# Licences, bans and sources are always checked. Advisories need a database from the network: a database that
# cannot be fetched within two minutes is reported and passes, a finding in it fails.
check_dependencies() {
  cargo deny --locked --log-level error check licenses bans sources
  local said status=0
  said=$(timeout 120 cargo deny --locked check advisories 2>&1) || status=$?
  if [ $status = 0 ]; then
    printf '%s\n' "$said"
  elif [ $status = 124 ]; then
    say "advisories were NOT checked: fetching their database took longer than two minutes"
  elif grep -qE 'failed to (fetch|clone|open|acquire)|unable to (fetch|clone)|advisory database' <<<"$said" &&
    ! grep -qE 'error\[|RUSTSEC-' <<<"$said"; then
    say "advisories were NOT checked: their database could not be fetched"
  else
    printf '%s\n' "$said" >&2
    return 1
  fi
}

install_packages "$@"
for group in "$@"; do
  case "$group" in
    compiler | demo | peers | valgrind | perf) ;;
    components | nextest | deny) "$group" ;;
    check-dependencies) check_dependencies ;;
    *) say "no such group: $group"; exit 2 ;;
  esac
done
