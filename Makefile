# Everything a developer does with this repository. Each target does all its own
# set-up and needs only Go (and, for `race`, a C compiler).

GO       ?= go
BIN      := bin/quorate
GOTEST   ?= $(GO) test
TOOLS    := $(GO) tool -modfile=internal/tools/go.mod
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X main.version=$(VERSION)
FUZZTIME ?= 5s
SOAK     ?= 50
SEEDS    ?= 5000
MINUTES  ?= 30
# What takes longest begins first, or the rest is done and waits for it.
SLOW     := ./internal/model ./cli ./raft ./internal/soak ./internal/edge ./engine/gateway
SEED     ?=
TEMPLATES ?= 20000

export CGO_ENABLED ?= 0

.DEFAULT_GOAL := help
.PHONY: help build demo test race lint check bench fuzz soak soak-short edge acceptance kills sim check-jinja2 clean

help: ## this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## the static binary, bin/quorate
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cli/quorate

demo: build ## the main job, end to end; then one whose leader is killed on the way, and its post-mortem
	./$(BIN) demo

test: ## all tests
	$(GOTEST) $(SLOW) ./...

# The detector lets each process sleep for a second at its end, for races in what still
# runs then; tests of the command line start hundreds.
race: ## the concurrent packages under the race detector
	GORACE=atexit_sleep_ms=0 CGO_ENABLED=1 $(GOTEST) -race -short ./cli ./engine/gateway/... ./eventlog ./nodeagent ./engine/orchestrator ./engine/api ./engine/peer \
		./internal/mux ./nodeagent/facts ./nodeagent/relay ./nodeagent/runner

lint: ## gofmt, vet, staticcheck
	@out=$$(gofmt -l .); test -z "$$out" || { echo "gofmt: $$out"; exit 1; }
	$(GO) vet ./...
	@out=$$($(TOOLS) staticcheck ./... | grep -v 'field _msgpack is unused'); test -z "$$out" || { echo "$$out"; exit 1; }

check: ## what must pass before a change lands: lint, test, fuzz beside soak-short, race
	@MAKE='$(MAKE)' GO='$(GO)' TOOLS='$(TOOLS)' sh internal/tools/check.sh

bench: ## the figures of docs/performance.md and docs/reliability.md
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 60m ./internal/bench
	$(GO) test -run '^$$' -bench LargeFile -benchtime 1x -timeout 60m ./internal/acceptance
	$(GO) test -run '^$$' -bench Scale -benchtime 5x ./planner
	$(GO) test -run '^$$' -bench 'Fold|Run|Verify|Append' ./engine ./eventlog ./raft
	$(GO) test -run '^$$' -bench 'Spawn|PlainExec' ./nodeagent/runner

fuzz: ## every fuzz target for FUZZTIME (5s), as many at a time as there are cores
	FUZZTIME=$(FUZZTIME) GO=$(GO) sh internal/tools/fuzz.sh

soak: ## trouble for a cluster of processes, MINUTES (30) long, from SEED; as root
	QUORATE_TAMPER=10000 QUORATE_BUNDLE_RECORDS=1000000 \
		$(GO) test -count=1 -timeout 60m -v -run 'Tampering|TestLargeLog' ./eventlog/bundle
	QUORATE_SOAK=1m $(GO) test -count=1 -timeout 60m -v -run 'Damage|FullDisk|Guard|SlowDisks|WhileReplicasAreKilled|FiveReplicas' ./raft
	QUORATE_SEAL_RECORDS=1000000 $(GO) test -count=1 -timeout 10m -v -run 'StaysBounded' ./eventlog
	QUORATE_SOAK_MINUTES=$(MINUTES) QUORATE_SOAK_SEED=$(SEED) QUORATE_SOAK_CLOCKS=1 \
		$(GO) test -count=1 -timeout 0 -v -run 'TestSoak$$' ./internal/soak
	QUORATE_CROWD=1 $(GO) test -count=1 -timeout 60m -v -run 'TestCrowd$$' ./internal/bench
	$(MAKE) acceptance

soak-short: ## its trouble alone, two minutes long, with clocks that are right
	QUORATE_SOAK_MINUTES=2 QUORATE_SOAK_SEED=$(SEED) QUORATE_SOAK_QUIET=1 \
		$(GO) test -count=1 -timeout 10m -v -run 'TestSoak$$' ./internal/soak

acceptance: ## a real deployment, files of 1 GiB, hostile networks: five minutes, as root
	QUORATE_ACCEPTANCE=full $(GO) test -count=1 -timeout 60m -v ./internal/acceptance

edge: ## chains over 300 ms, links that are cut: half an hour, as root
	QUORATE_EDGE=full $(GO) test -count=1 -timeout 60m -v ./internal/edge

kills: ## kill orchestrators, agents and leaders in the middle of runs, SOAK (50) times each
	QUORATE_SOAK=$(SOAK) $(GO) test -count=1 -timeout 120m -v -run 'Kill' ./cli/...
	QUORATE_SOAK_KILLS=$(SOAK) $(GO) test -count=1 -timeout 60m -v -run 'TestLeaderKilled' ./internal/soak

sim: ## simulate SEEDS (5000) clusters, and explore more faults at once; one cluster: make sim SEED=n
	$(GO) test ./internal/model -count=1 -timeout 24h -v -run '$(if $(SEED),TestSim,TestSim|TestProtocol)' -seeds $(SEEDS) $(if $(SEED),-seed $(SEED))

check-jinja2: ## compare templates with Debian's Jinja2, which it installs, TEMPLATES (20000) of them made by chance
	@python3 -c 'import jinja2' 2>/dev/null || { echo "installing python3-jinja2"; \
		sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; $$sudo apt-get -qq update && $$sudo apt-get -qq -y install python3-jinja2; }
	QUORATE_JINJA2=1 QUORATE_TEMPLATES=$(TEMPLATES) QUORATE_SEED=$(SEED) \
		$(GO) test -count=1 -timeout 30m -v -run 'Jinja2|Cases|Corpus' ./nodeagent/template

clean: ## remove what was built
	rm -rf bin
