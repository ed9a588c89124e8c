# gnomon's few verbs. `make` or `make help` lists them.
GO ?= go
BIN := bin/gnomon
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
# The race detector needs a C compiler; where there is none the tests run without it and say so.
CC_FOUND := $(shell command -v gcc || command -v clang || command -v cc)
RACE := $(if $(CC_FOUND),-race,)

.DEFAULT_GOAL := help
.PHONY: help demo run build test bench profile soak bench-stats bench-routing crowd fuzz bench-store bench-ingest weights lint engine e2e e2e-clients chaos chaos-load browser test-kafka clean

help: ## list the verbs
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

build: ## compile bin/gnomon
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN) ./cmd/gnomon

engine: build ## bring ClickHouse's engine into the user's cache folder, verified
	@$(BIN) engine fetch

demo: engine ## everything on this machine, simulated providers, no API key (DEMO_SECONDS=60 ends by itself)
	@$(BIN) demo

run: engine ## gnomon serve with your own gnomon.yaml or the defaults
	@$(BIN) serve

test: engine ## all tests of the main module, with the race detector where a C compiler is found
	@$(if $(RACE),,echo "no C compiler found: the tests run without the race detector")
	$(if $(RACE),CGO_ENABLED=1) GNOMON_REQUIRE_ENGINE=1 $(GO) test $(RACE) -timeout 20m $(TESTFLAGS) ./...

bench: engine ## gnomon beside bare gin, ReverseProxy and nginx in one run; then the pieces, and the binary's other figures
	@cd bench && $(GO) run . -gnomon ../$(BIN)
	@$(GO) test -run '^$$' -bench . -benchmem -benchtime 0.5s ./classifier ./savings ./proxy/... ./internal/spool ./internal/store | grep -E '^(Benchmark|pkg|ok|FAIL)'
	@cd e2e/sdk && E2E_FIGURES=1 E2E_BIN=../../$(BIN) $(GO) test -count=1 -v -run Figure -timeout 20m . | grep -E 'FIGURE|stored|FAIL|^ok'

profile: engine ## processor and allocation profiles of the proxy under load, to out/
	@mkdir -p out && cd bench && $(GO) run . -gnomon ../$(BIN) -only gnomon -scenarios requests -profiles ../out

soak: engine ## SOAK=1000000 requests at the proxy role with everything on, and its resident memory after each tenth of them
	@cd bench && $(GO) run . -gnomon ../$(BIN) -only gnomon -scenarios soak -soak $(or $(SOAK),1000000)

bench-stats: ## the full checks of the statistics, each beside the naive method that fails it
	GNOMON_BENCH_STATS=1 $(GO) test -timeout 60m -count=1 -v -run 'BenchStats|VerdictsHold' ./analyzer/... ./internal/simulator/...

bench-routing: ## how well the classifier ranks prompts, cross-validated, beside what it has to beat
	GNOMON_BENCH_ROUTING=1 $(GO) test -timeout 60m -count=1 -v -run BenchRouting ./classifier ./classifier/training

tokens: ## how far off the prediction of tokens is, against the tokenizer, by kind of text; and what the tokenizer itself costs
	$(GO) test -count=1 -v -run 'PredictedTokens' ./classifier && $(GO) test -count=1 -v -run 'Bounded|Cuts|Takes' ./internal/tokens

crowd: ## 20,000 connections to a proxy that may open 8,000 files: who is served, who is told 503, whether it recovers (needs ulimit -n 20000; CROWD=20000)
	PROXY_TEST_CROWD=$(or $(CROWD),20000) $(GO) test -timeout 10m -count=1 -v -run TestACrowd ./proxy

FUZZTIME ?= 30s
fuzz: ## every fuzz target of the main module, one after the other, FUZZTIME each (30s); FUZZ=Decide takes those whose name has it
	@grep -rn --include='*_test.go' -oE '^func Fuzz[A-Za-z0-9]+' $(filter-out e2e bench,$(wildcard */)) | sed -E 's|^([^:]*)/[^/:]*:[0-9]+:func |./\1 |' | sort | grep -e '$(FUZZ)' | while read -r pkg name; do \
		echo "== $$pkg $$name"; $(GO) test -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZTIME) $(FUZZFLAGS) $$pkg </dev/null || exit 1; done

weights: build ## train the shipped weights anew from graded rows (GRADED=folder of *.jsonl.gz), to the same bytes
	@$(BIN) train $(GRADED)/*.jsonl.gz --out classifier/weights.bin

# Chaos prints the schedule of its seed; -bin sets no clock, and needs no other build.
test-kafka: build ## three proxies and two ingesters on three brokers of Apache Kafka, each killed in turn; a seed of chaos; the pipeline's tests (needs Java 17 and Maven, or skips)
	@deploy/kafka-test/cluster.sh run sh -c '$(GO) run ./e2e/chaos -bin $(BIN) -kafka $$KAFKA_TEST_DIR -seed 4040 -fault "every process is killed in turn" && \
		deploy/kafka-test/cluster.sh renew $$KAFKA_TEST_DIR && $(GO) run ./e2e/chaos -bin $(BIN) -kafka $$KAFKA_TEST_DIR -seed 4041 && \
		$(GO) test -count=1 -timeout 5m ./internal/pipeline'; rc=$$?; \
	if [ $$rc = 77 ]; then echo "make test-kafka: skipped"; else exit $$rc; fi

bench-store: engine ## the store at ROWS=100000000 rows (the default): bytes a row, the report's queries, pages of requests. Takes a while and 20 GB; DIR says where
	GNOMON_BENCH_ROWS=$(or $(ROWS),100000000) GNOMON_BENCH_DIR=$(DIR) $(GO) test -timeout 180m -count=1 -v -run 'TestBench' ./internal/store/

bench-ingest: engine ## a backlog of EVENTS=1000000 (the default) from the embedded broker into the engine, beside the same rows encoded by ch-go alone and inserted from memory
	GNOMON_BENCH_EVENTS=$(or $(EVENTS),1000000) $(GO) test -timeout 60m -count=1 -v -run TestBenchIngest ./cmd/gnomon | grep -E 'backlog|processor time|FAIL|^ok'

lint: ## gofmt, vet, staticcheck
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "run gofmt -w on these:"; echo "$$unformatted"; exit 1; }
	$(GO) vet ./...
	cd bench && $(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

# Clients that cannot be brought are skipped, and the tests say so.
e2e: build e2e-clients ## the official SDKs of Go, npm (where it is) and PyPI (where Python is) against bin/gnomon: the same as directly; planted secrets; ClickHouse's clients and kcat against what it brings along
	@cd e2e/sdk && E2E_BIN=$(CURDIR)/$(BIN) $(GO) test -count=1 -timeout 10m ./...

e2e-clients: ## install what make e2e tries
	@cd e2e/clients && (npm ci --no-audit --no-fund --silent || echo "@clickhouse/client could not be installed")
	@cd e2e/clients && (python3 -m venv .venv && .venv/bin/pip install -q --disable-pip-version-check -r requirements.txt || echo "clickhouse-connect could not be installed")
	@cd e2e/sdk && $(GO) test -count=1 -timeout 10m -run SDKsAreInstalled .

CHAOS_SEEDS ?= 50
chaos: engine ## kill, stop, tear, fill disks and set clocks wrong under load, and hold the store against what clients saw (CHAOS_SEEDS=50 CHAOS="-seed 7"; CHAOS=-kept: those that failed once)
	@$(GO) run ./e2e/chaos -seeds $(CHAOS_SEEDS) $(CHAOS)

LOAD_SECONDS ?= 60
LOAD_RATE ?= 2000
chaos-load: engine ## a load for LOAD_SECONDS=60 undisturbed, and as long while every process is killed once: lost, twice, p99, memory (LOAD_RATE=2000)
	@$(GO) run ./e2e/chaos -bin $(BIN) -figure $(LOAD_SECONDS) -rate $(LOAD_RATE)

browser: ## the console in headless Chromium, against a running gnomon (GNOMON_CONSOLE_URL)
	@cd e2e/browser && npm ci --no-audit --no-fund --silent && npm test

clean: ## remove what was built
	rm -rf bin out
