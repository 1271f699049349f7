# Orbit's targets. `make` alone lists them. Everything a target needs, it
# installs itself, once, into $(ORBIT_CACHE) or by Debian's apt.

SHELL := /bin/bash
.DEFAULT_GOAL := help

export ORBIT_CACHE ?= $(HOME)/.cache/orbit

# So that what is compiled in one clone is not compiled again in another.
export GOFLAGS := $(strip $(GOFLAGS) -trimpath)

# The engines over C libraries are built where those libraries are.
empty :=
space := $(empty) $(empty)
comma := ,
tags = $(subst $(space),$(comma),$(strip $(if $(wildcard /usr/include/rocksdb/c.h),rocksdb) $(if $(wildcard /usr/include/lmdb.h),lmdb)))

commit := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
ldflags := -X github.com/orbit-persistence/orbit/bench.Commit=$(commit) -X github.com/orbit-persistence/orbit/torture.Commit=$(commit)
tool := go tool -modfile=internal/lint/tools.mod

## Build and test

build: deps-libraries ## build bin/orbit-cli with every engine
	go build -tags "$(tags)" -ldflags "$(ldflags)" -o bin/orbit-cli ./cmd/orbit-cli

# Secrets of servers are random, and all that tests say is searched for them. Results that
# go has kept are of earlier secrets, so those are kept too.
secrets = $(ORBIT_CACHE)/test-secrets
said = $(ORBIT_CACHE)/test-output.json

# Many tests wait, for servers, disks and time: one package more than there are processors is
# tested at once. Lint vets all of it.
at_once = -p $$(($$(nproc) + 1))

test: deps-libraries deps-chromium deps-torture deps-servers ## all tests, with a summary that counts what was skipped
	@mkdir -p "$(ORBIT_CACHE)"
	ORBIT_SECRETS=$(secrets) $(tool) gotestsum --format pkgname-and-test-fails --format-hide-empty-pkg --jsonfile $(said) -- $(at_once) -vet=off -tags "$(tags)" -timeout 25m ./...
	internal/lint/secrets.sh $(secrets) $(said)
	$(MAKE) --no-print-directory race

# Under the race detector the suites run on fewer random operations, see
# enginetest.Target.Operations, and without what takes long by its bytes alone, in one
# goroutine: the largest values and batches, a tree beside a map, a file with each bit flipped.
ALONE = Conformance/limits/(largest-value|batch-too-large)|Conformance/.*/limits/(largest-value|batch-too-large)|^TestInspectFindsEveryFlip$$|^TestTreeAgainstMap$$
# Of stores that others wrote, our part is thin, and what happens inside of them in one
# goroutine is theirs.
OTHERS = /engine/(peers/.*|pebbledb|rocks)$$
ALONE_IN_OTHERS = ^TestFailedChanges$$|Conformance/(batch|iterator|point|random)$$|Conformance/.*/(batch|iterator|point|random)$$|Conformance/traits/ingest|Conformance/.*/traits/ingest
RACE ?= ./engine/... ./bench ./bench/report ./bench/result ./providers ./providers/drivertest ./providers/flash ./providers/intent ./providers/lease ./providers/local ./providers/lsmtree ./providers/memory ./providers/node
under_race = $(tool) gotestsum --format pkgname-and-test-fails --format-hide-empty-pkg -- -race $(at_once) -vet=off -tags "$(tags)" -timeout 12m

race: deps-libraries ## the concurrent parts under the race detector
	@all=$$(go list -tags "$(tags)" $(RACE)) && \
	ours=$$(grep -Ev '$(OTHERS)' <<<"$$all"); others=$$(grep -E '$(OTHERS)' <<<"$$all"); \
	{ [ -z "$$ours" ] || $(under_race) -skip '$(ALONE)' $$ours; } && \
	{ [ -z "$$others" ] || $(under_race) -skip '$(ALONE)|$(ALONE_IN_OTHERS)' $$others; }

test-long: deps-libraries ## the random runs of every engine and class at 100,000 operations; some take minutes
	ORBIT_TEST_OPERATIONS=100000 go test -tags "$(tags)" -timeout 60m -run 'Conformance|Stress' ./engine/...

test-hangs: deps-torture ## a path of flash on a real file system that hangs in every way; two minutes on a machine without other work
	ORBIT_TEST_HANGS=all go test -count=1 -v -run '^TestHang|^TestCloseWhileAPathHangs$$' ./torture/real

test-mutants: ## the tests of the provider layer against every seeded defect; an hour
	ORBIT_TEST_MUTANTS=all go test -v -timeout 180m ./torture/providermutants

provider-table: deps-libraries deps-servers ## results/providers.md: every provider through the conformance suite, on its real server
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
	ORBIT_CONFORMANCE=$$dir go test -count=1 -tags "$(tags)" -timeout 60m -run '^Test.*Conformance|^TestKubernetes$$/^conformance$$' ./providers/... && \
	go run ./internal/providertable $$dir >results/providers.md && cat results/providers.md

# How long each is fought over: Redis and etcd are the quick ones, and make up the number.
FIGHTS ?= redis:420s etcd:200s s3:120s minio:120s kubernetes:120s azure:120s gcp:120s
fight: deps-libraries deps-servers ## results/fight.md: the fight for leases over each remote provider; 20 minutes
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && failed=0 && \
	for f in $(FIGHTS); do \
		ORBIT_FIGHT_RECORD=$$dir ORBIT_TEST_FIGHT=$${f#*:} go test -count=1 -v -timeout 30m -run '^TestLeaseFight$$|^TestKubernetes$$/^lease_fight$$' ./providers/$${f%%:*} || failed=1; \
	done && \
	go run ./internal/fight/fighttable $$dir >results/fight.md && cat results/fight.md && exit $$failed

lint: deps-libraries ## imports, gofmt, vet, staticcheck, docstrings
	go test -tags "$(tags)" ./internal/lint

FUZZTIME ?= 30s
fuzz: ## every fuzz target, FUZZTIME each
	@set -e; for file in $$(grep -rl --include='*_test.go' '^func Fuzz'); do \
		for name in $$(grep -oh '^func Fuzz[A-Za-z0-9_]*' $$file | cut -c6-); do \
			echo "$$name in $$(dirname $$file), $(FUZZTIME)"; \
			go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) ./$$(dirname $$file); \
		done; done

# The same program over a RocksDB without assertions; see engine/rocks/doc.go.
build-rocksdb-release: deps-libraries
	dir=$$(deps/rocksdb-release.sh | tail -n 1) && \
	CGO_CPPFLAGS="-I$$dir/include" CGO_LDFLAGS="-L$$dir/lib -lbz2" \
		go build -tags "$(tags)" -ldflags "$(ldflags)" -o bin/orbit-cli-rocksdb-release ./cmd/orbit-cli

## Measure

bench: deps-bench build ## the comparison table on real data, in under 10 minutes
	bin/orbit-cli bench --profile quick --out results/latest

bench-full: deps-bench build build-rocksdb-release ## more sizes, caches and tunings, and the release build of RocksDB; hours
	bin/orbit-cli bench --profile full --rocksdb-release bin/orbit-cli-rocksdb-release --out results/full

# As root, two loop devices serve the mirror; else it is left out.
bench-log: deps-bench build ## the log: group commit beside Pebble and RocksDB, buffered commits, replay; minutes
	bin/orbit-cli bench-log --out results

bench-tree: deps-bench build ## the copy-on-write B+tree against its goals, beside LMDB, bbolt, Pebble and RocksDB; an hour or two
	bin/orbit-cli bench-tree --out results

bench-lsm: deps-bench build ## the LSM-tree against its goals, beside Pebble and RocksDB; an hour or two
	bin/orbit-cli bench-lsm --out results

migrations: deps-libraries deps-servers ## results/migrations.md: 10,000 entries from each kind of provider to each other; an hour
	ORBIT_TEST_MIGRATIONS=10000 ORBIT_MIGRATIONS_TABLE=$(CURDIR)/results/migrations.md go test -count=1 -v -tags "$(tags)" -timeout 180m -run '^TestMigrations$$' ./providers/all

bench-remote: deps-libraries deps-servers ## results/remote.md: each remote provider beside its client library; five minutes
	@set -o pipefail; for p in etcd redis s3 minio kubernetes azure gcp; do \
		go test -run '^$$' -bench '^Benchmark(Put|Get)$$' -benchtime $(or $(BENCHTIME),2s) -count 5 ./providers/$$p || exit; \
	done | tee /dev/stderr | go run ./internal/ratiotable >results/remote.md && cat results/remote.md

# The store that is backed up has 10 GB, for which 50 GB must be free.
BACKUP_BYTES ?= 10000000000
bench-operations: deps-bench build ## results/operations.md: tables, migration, export and import, backup and restore; an hour
	@set -o pipefail; run() { go test -run '^$$' -timeout 60m -tags "$(tags)" -bench "$$@"; }; { \
		run '^BenchmarkInsert$$|^BenchmarkSelect$$' -count 5 ./providers/table && \
		run '^BenchmarkMigrate$$' -benchtime 1x -count 5 ./providers/migrate && \
		run '^BenchmarkContents$$' -benchtime 1x -count 3 ./providers/migrate && \
		ORBIT_BACKUP_BYTES=$(BACKUP_BYTES) run '^BenchmarkBackup$$' -benchtime 1x ./providers/backup; \
	} | tee /dev/stderr | go run ./internal/goaltable operations >results/operations.md && cat results/operations.md

# The store that is recovered has 10,000,000 records; 20 GB must be free.
bench-flash: deps-bench build ## results/flash.md: the flash engine against its goals, beside the device, LMDB and RocksDB; a quarter of an hour
	@set -o pipefail; go test -run '^$$' -timeout 60m -tags "$(tags)" -bench '^BenchmarkGoals$$' -benchtime 1x -count 3 ./engine/flash \
	| tee /dev/stderr | go run ./internal/goaltable flash >results/flash.md && cat results/flash.md

torture: build deps-torture ## every mode of torture over every engine, and the kill matrix, in 10 minutes
	bin/orbit-cli torture --budget 10m --out results --json results/torture.json

# Each night has a seed of its own, which the summary names.
torture-night: build deps-torture ## the same for 8 hours
	@mkdir -p results/night
	bin/orbit-cli torture --budget 8h --seed $$(date +%Y%m%d) --out results/night --json results/night/torture.json 2>&1 | tee results/night/torture.txt; exit $${PIPESTATUS[0]}

## What the targets install

deps-bench: ## RocksDB, LMDB, Debian's Contents index
	@deps/bench.sh

deps-libraries:
	@deps/bench.sh --libraries

deps-torture:
	@deps/torture.sh

deps-servers: ## the servers that the tests of remote providers talk to; ten minutes at first
	@for script in $(filter-out %/common.sh,$(wildcard deps/servers/*.sh)); do $$script >/dev/null || exit; done

deps-chromium:
	@deps/chromium.sh

clean: ## remove what was built
	rm -rf bin

help: ## this list
	@awk -F ':.*## ' '/^## /{printf "\n%s\n", substr($$0, 4)} /^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' Makefile

.PHONY: build test-hangs bench-remote fight migrations torture torture-night bench-log bench-tree bench-lsm bench-flash bench-operations deps-torture deps-servers test test-mutants provider-table test-long race lint fuzz bench bench-full deps-bench deps-libraries deps-chromium build-rocksdb-release clean help
