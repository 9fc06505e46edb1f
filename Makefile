# The commands that people use. Each works on a fresh clone with Go alone; what tests need beside it they fetch into the user's cache.
SHELL := /bin/bash
GO    ?= go
DATA  ?= data
SEEDS ?= 8
KILLS ?= 50
CASES ?= 1000
PODS  ?= 10000

# The race detector needs a C compiler; without one the same tests run without it, and say so.
RACE := $(shell command -v $${CC:-gcc} >/dev/null 2>&1 && echo -race)
PURE := ./bus ./mesh ./slo ./slo/notify ./ingest

.DEFAULT_GOAL := help
.PHONY: help run build test check crds bench soak clean

help: ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

run: build ## start Evenkeel with the example definitions; data in ./data (DATA=folder)
	./evenkeel run --config deploy/examples --data $(DATA)

build: ## ./evenkeel
	$(GO) build -o evenkeel ./cmd/evenkeel

crds: ## deploy/crds, from the compilers
	$(GO) run ./test/crds deploy/crds

check: ## formatting, vet and the layer law
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt -w $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags peers,bench ./test/...
	cd test/oracle && $(GO) vet ./...
	cd test/kubernetes && CGO_ENABLED=0 $(GO) vet -trimpath -tags vtprotobuf,disable_pgv ./...
	$(GO) test ./test/layers

test: ## everything, with real peers; the last line counts
	@$(if $(RACE),,echo "no C compiler: the race detector is off";) \
	$(GO) build -o bin/tally ./test/tally && { \
	$(GO) test -json -shuffle=on $(RACE) $(PURE) 2>&1; \
	$(GO) test -json -shuffle=on -timeout 20m $$($(GO) list ./... | grep -vxE "$$($(GO) list $(PURE) | paste -sd'|')") 2>&1; \
	(cd test/oracle && $(GO) test -json -shuffle=on -timeout 20m ./...) 2>&1; \
	$(GO) test -json -tags peers -timeout 55m -run PeersBuilt ./test/cluster 2>&1; \
	$(GO) test -json -tags peers -timeout 60m -p 2 -parallel 4 -run Peers ./test/... 2>&1; \
	} | ./bin/tally

bench: ## samples per CPU-second, and CPU of an SLO a day, beside VictoriaMetrics and Prometheus; 10,000 pods and 10,000 definitions (BENCH='-series 100000 -seconds 5 -days 1 -slos 1000' shortens)
	$(GO) test -tags bench -count 1 -timeout 120m -run TestBench -v ./test/bench -args $(BENCH)

soak: ## 50 kills and many seeds; 1,000 random budgets against exact arithmetic and Prometheus; 10,000 pods in a real cluster
	cd test/oracle && $(GO) test -count 1 -timeout 60m -run TestOracle -v . -cases $(CASES)
	$(GO) test -tags peers -count 1 -timeout 60m -run Peers -v ./test/agents -args -down 10m
	$(GO) test -tags peers -count 1 -timeout 300m -parallel 4 -run Peers -v ./test/chaos -args -kills $(KILLS) -seeds $(SEEDS)
	$(GO) test -tags peers -count 1 -timeout 60m -run PeersManyPods -v ./test/cluster -args -pods $(PODS)

clean: ## what was built here; the cache of peers stays
	rm -rf bin evenkeel
