#!/usr/bin/env bash
# The figures: benchmarks of the hot parts, then measurements on the binary.
set -euo pipefail
cd "$(dirname "$0")"
echo "== benchmarks"
go test -run '^$' -bench . -benchmem -benchtime "${BENCHTIME:-0.5s}" ./classifier ./savings ./proxy/... ./internal/spool ./internal/store | grep -E '^(Benchmark|pkg|ok|FAIL)'
echo "== the binary"
cd e2e/sdk
E2E_FIGURES=1 E2E_BIN=../../bin/gnomon go test -count=1 -v -run Figure -timeout 20m . | grep -E 'FIGURE|stored|FAIL|^ok'
