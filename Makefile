SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

# Where tools and the jars of Kafka are kept between runs (docs/testing.md).
CACHE := $(or $(COLDSTREAM_TEST_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/coldstream-test)

# A linter reads no sources newer than the Go that built it, so both are in its name.
GOLANGCI_VERSION := v2.15.0
GOLANGCI := $(CACHE)/bin/golangci-lint-$(GOLANGCI_VERSION)-$(shell go env GOVERSION)

# All but the package whose own tests are real brokers even with -short.
RACE_PACKAGES = $(filter-out %/kafka/kafkatest,$(shell go list ./...))

FUZZ_TIME := 30s

NFPM_VERSION := v2.48.0
NFPM := $(CACHE)/bin/nfpm-$(NFPM_VERSION)

.PHONY: build static release lint test race long fuzz torture soak bench

# The flags are those of a plain `go run` and `go test`, so that one cache serves all.
build: ## bin/coldstream, in pure Go
	go build -o bin/coldstream ./cmd/coldstream

static: ## bin/coldstream with libzstd, for any Linux of this architecture; needs a C compiler and libc to link to (Debian: gcc libc6-dev)
	CGO_ENABLED=1 go build -trimpath -tags libzstd,netgo,osusergo -ldflags '-linkmode external -extldflags "-static"' -o bin/coldstream ./cmd/coldstream

release: $(NFPM) ## archives, packages, lists of modules and checksums: make release VERSION=1.2.3
	NFPM=$(NFPM) deploy/packages/release.sh "$(VERSION)" "bin/release-$(VERSION)"

lint: $(GOLANGCI) ## the linter, and vet for the systems that are not this one
	$(GOLANGCI) run ./...
	GOOS=darwin go vet ./cmd/... ./blob/...
	GOOS=windows go vet ./blob ./blob/blobtest ./blob/faultblob ./blob/fs ./blob/mem ./blob/retry ./blob/internal/...
	GOOS=windows go build -o /dev/null ./cmd/coldstream

test: race ## everything that guards a change
	go test -count=1 -timeout 60m -p 2 ./...

race: ## without brokers (-short), under the race detector
	@if [ "$$(go env CGO_ENABLED)" = 1 ]; then \
		set -x; go test -race -short -count=1 -timeout 60m $(RACE_PACKAGES); \
	else echo "make race: LEFT OUT: the race detector needs cgo and a C compiler" >&2; fi

long: fuzz ## sweeps, older versions of Kafka, fuzzing
	@mkdir -p bin
	go test -v -tags long,libzstd -count=1 -timeout 150m -p 2 ./... >bin/long.log 2>&1 || failed=1; \
	grep -E '^(ok|FAIL|panic:|[[:space:]]*--- (FAIL|SKIP))' bin/long.log || true; \
	for what in PASS FAIL SKIP; do printf '%s %s\n' "$$(grep -cE -- "--- $$what" bin/long.log || true)" "$$what"; done; \
	if [ -n "$${failed:-}" ]; then echo "see bin/long.log" >&2; exit 1; fi

fuzz: ## every fuzz target, FUZZ_TIME each
	@count=0; \
	while IFS=: read -r file target; do \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZ_TIME) -fuzzminimizetime 1x "./$$(dirname "$$file")" </dev/null; \
		count=$$((count + 1)); \
	done < <(grep -rEo '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' . | sed 's/func //' | sort); \
	echo "$$count fuzz targets"; test "$$count" -gt 0

torture: N := 500
torture: ## N rounds of killed backups (docs/reliability.md)
	go test -count=1 -timeout 240m -run '^TestTorture$$' -v ./cmd/coldstream -torture $(N) $(TORTURE_FLAGS)

soak: H := 2
soak: ## H hours of a continuous backup with a fault a minute (docs/reliability.md)
	go test -tags long -count=1 -timeout $$(($(H) + 1))h -run '^TestSoak$$' -v ./cmd/coldstream -soak $(H)h $(SOAK_FLAGS)

bench: ## what backup and restore cost, against the least they could (docs/benchmarks.md)
	go build -o bin/bench ./bench
	bin/bench -json bin/bench.json $(BENCH_FLAGS)

$(NFPM):
	@mkdir -p $(CACHE)/bin
	dir=$$(mktemp -d $(CACHE)/bin/install.XXXXXX); trap 'rm -rf "$$dir"' EXIT; \
	GOBIN="$$dir" GOFLAGS= go install github.com/goreleaser/nfpm/v2/cmd/nfpm@$(NFPM_VERSION); \
	mv "$$dir/nfpm" "$@"

$(GOLANGCI):
	@mkdir -p $(CACHE)/bin
	dir=$$(mktemp -d $(CACHE)/bin/install.XXXXXX); trap 'rm -rf "$$dir"' EXIT; \
	GOBIN="$$dir" GOFLAGS= go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION); \
	mv "$$dir/golangci-lint" "$@"
