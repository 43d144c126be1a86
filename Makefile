# The commands of fastlb. `make demo` and `make test` do all their set-up themselves;
# the others take what they need from the same set-up.

CARGO ?= cargo
SETUP := tests/setup.sh
SECONDS_PER_FUZZ_TARGET ?= 30

.PHONY: help demo build test lint bench bigbody loadtest soak flamegraph fuzz harden docs setup

help: ## Lists these commands.
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: ## Builds fastlb and shows it balancing small embedded servers on localhost.
	@$(SETUP) compiler demo
	$(CARGO) run --release --locked -- demo

build: ## Builds the release binary.
	@$(SETUP) compiler
	$(CARGO) build --release --locked

test: lint ## Installs what the tests need, lints and runs every test.
	@$(SETUP) compiler peers nextest
	$(CARGO) nextest run --locked
	$(CARGO) test --doc --locked

lint: ## Checks formatting, clippy, licences and advisories.
	@$(SETUP) compiler components deny
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --locked -- -D warnings
	@$(SETUP) check-dependencies

bench: ## Counts instructions (callgrind) and measures wall time of the pure engines.
	@$(SETUP) compiler valgrind
	$(CARGO) bench --locked

bigbody: ## Moves 5 GB bodies both ways, with lengths and in chunks, and prints time and memory of each.
	@$(SETUP) compiler
	$(CARGO) build --release --locked
	FASTLB_BODY_MB=5120 FASTLB_BIN=$${CARGO_TARGET_DIR:-target}/release/fastlb \
	  $(CARGO) test --locked --test it bodies:: -- --test-threads 1 --nocapture

loadtest: ## Measures CPU per request beside haproxy and nginx; ARGS="--quick --only l7-keepalive-128".
	@$(SETUP) compiler peers
	$(CARGO) build --release --locked
	python3 loadtest/run.py $(ARGS)

soak: ## Holds 256 connections for a minute: no errors, no growth of memory or descriptors.
	@$(SETUP) compiler peers
	$(CARGO) build --release --locked
	loadtest/soak.sh

flamegraph: ## Records a flamegraph of each main path into flamegraphs/.
	@$(SETUP) compiler peers perf
	flamegraphs/record.sh $(ARGS)

fuzz: ## Runs every fuzz target for SECONDS_PER_FUZZ_TARGET (30).
	@$(SETUP) compiler
	@for target in $(basename $(notdir $(wildcard fuzz/src/bin/*.rs))); do \
	  $(CARGO) run --quiet --release --locked --manifest-path fuzz/Cargo.toml --bin $$target -- \
	    --seconds $(SECONDS_PER_FUZZ_TARGET) || exit 1; \
	done

harden: ## Attacks a release build the long way: slow clients, floods, 100,000 connects and leaves.
	@$(SETUP) compiler nextest
	ulimit -n 20000 && HARDEN=full $(CARGO) nextest run --release --locked --profile harden --test it -E 'test(hardening::)'

docs: ## Regenerates docs/keywords.md from the keyword tables.
	@$(SETUP) compiler
	UPDATE=1 $(CARGO) test --locked --lib the_page_of_keywords

setup: ## Installs everything that any command needs.
	@$(SETUP) compiler components peers demo nextest deny valgrind perf
