#!/usr/bin/env bash
# Holds 256 connections on fastlb for a minute (or the seconds given): fails on any error and on growth of memory or
# descriptors.
set -euo pipefail
exec python3 "$(dirname "$0")/run.py" --soak "${1:-60}" --proxies "${PROXY:-fastlb}"
