# The two commands of the README are `make demo` and `make test`; each sets up what it needs.

PYTHON ?= python3
VENV := .venv/bin
CARGO ?= cargo
# Any file with one message a line, or a GeoJSON collection; by default a week of earthquakes.
EVENTS ?= examples/node_modules/vega-datasets/data/earthquakes.json
FUZZ_SECONDS ?= 20
# Changes of thread against a thread's will, in each order that the models try.
PREEMPTIONS ?= 3
# The releases of Apache RocketMQ that the clients are proved on.
APACHE ?= 4.9.7 5.3.3

# Arguments for the benchmarks, such as --only=append,single or --markdown=figures.md.
BENCH ?=

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: demo
demo: python node examples/node_modules ## Real events through broker-dev, in three languages (EVENTS=file takes your own)
	$(CARGO) build --locked -p oxmq-broker-dev -p oxmq-examples --bins
	target/debug/demo --events '$(EVENTS)' --python $(VENV)/python

.PHONY: test
test: test-rust test-python test-node test-examples fuzz models ## Everything, in all three languages

.PHONY: bench
bench: python-release node-release ## Every figure beside its limit and its peer (QUICK=1: a short trial)
	$(CARGO) build --locked --release --quiet -p oxmq-broker-dev -p oxmq-tests --bins
	target/release/bench $(if $(QUICK),--quick) $(BENCH)

# ---- Rust

.PHONY: lint
lint: ## Format, lints, docs, the boundaries between packages
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps -p oxmq -p oxmq-broker-dev
	# The protocol stands without tokio, and the broker without the client.
	$(CARGO) check --locked -p oxmq --no-default-features
	! $(CARGO) tree --locked -p oxmq --no-default-features -e normal | grep -q tokio
	! $(CARGO) tree --locked -p oxmq-broker-dev -e normal,features | grep -q 'oxmq feature "client"'

.PHONY: test-rust
test-rust: lint ## Lints, unit, behaviour, crash and compatibility tests
	$(CARGO) build --locked --bins
	$(CARGO) test --locked --no-fail-fast

# ---- Python

$(VENV)/python: client-py/requirements-dev.txt
	$(PYTHON) -m venv .venv
	$(VENV)/pip install --quiet --disable-pip-version-check -r client-py/requirements-dev.txt
	touch $@

.PHONY: python
python: $(VENV)/python ## Build the Python package into .venv
	$(VENV)/maturin develop --quiet --locked -m client-py/Cargo.toml

.PHONY: python-release
python-release: $(VENV)/python
	$(VENV)/maturin develop --quiet --locked --release -m client-py/Cargo.toml

.PHONY: test-python
test-python: python ## Tests and types of the Python package
	$(VENV)/pytest -q client-py/tests
	# The same promises on Apache's servers; skipped, loudly, where there is no Java.
	$(CARGO) build --locked --quiet -p oxmq-tests --bin on-apache
	for version in $(APACHE); do target/debug/on-apache $$version $(VENV)/pytest -q client-py/tests/test_promises.py || exit 1; done
	$(VENV)/mypy --strict client-py/python client-py/tests/typing examples/python

# ---- Node

client-node/node_modules: client-node/package-lock.json
	npm ci --prefix client-node --no-audit --no-fund
	touch $@

.PHONY: node
node: client-node/node_modules ## Build the Node package
	npm run --prefix client-node build

.PHONY: node-release
node-release: client-node/node_modules
	npm run --prefix client-node build:release

.PHONY: test-node
test-node: node ## Tests and types of the Node package
	npm test --prefix client-node
	$(CARGO) build --locked --quiet -p oxmq-tests --bin on-apache
	for version in $(APACHE); do target/debug/on-apache $$version npm test --prefix client-node -- promises || exit 1; done

# ---- Examples

examples/node_modules: examples/package-lock.json client-node/node_modules
	npm ci --prefix examples --no-audit --no-fund
	touch $@

.PHONY: test-examples
test-examples: python node examples/node_modules ## The README's examples, as they stand, and the demonstration
	$(CARGO) build --locked --bins
	$(VENV)/pytest -q examples/python/test_examples.py

# ---- Long campaigns

# How many times the cases of `make test` the crash tests try.
CRASH_SHARE ?= 50

.PHONY: crash
crash: ## The crash tests, CRASH_SHARE times as many cases as with the tests
	CRASH_SHARE=$(CRASH_SHARE) $(CARGO) test --locked -p oxmq-tests --test crash -- --nocapture
	$(CARGO) test --locked -p oxmq-tests --test crash_kill

# What a planted change is looked for in.
MUTANTS ?= --file 'broker-dev/src/store/commit_log/*.rs' --file 'broker-dev/src/store/recovery/*.rs' \
	--file broker-dev/src/store/checkpoint.rs --file broker-dev/src/store/dispatch.rs

.PHONY: mutants
mutants: ## Plant changes in the store's engine; each must fail a test (needs cargo-mutants)
	$(CARGO) mutants $(MUTANTS) --no-shuffle --jobs 1 --test-package oxmq-broker-dev,oxmq-tests \
		--timeout 240 -- --lib --test crash

.PHONY: fuzz
fuzz: ## Fuzz the decoders for FUZZ_SECONDS each (needs nightly Rust and cargo-fuzz)
	tests/fuzz/run $(FUZZ_SECONDS)

.PHONY: models
models: ## Try the store's hand-overs between threads in every order (PREEMPTIONS=4: more of them)
	cd tests/models && LOOM_MAX_PREEMPTIONS=$(PREEMPTIONS) $(CARGO) test --locked --quiet

.PHONY: miri
miri: ## The module with unsafe code under Miri (needs nightly Rust with miri and rust-src)
	MIRIFLAGS='-Zmiri-disable-isolation -Zmiri-many-seeds=0..8' $(CARGO) +nightly miri test --locked --target-dir target/miri -p oxmq-broker-dev --lib store::mapped_file::

.PHONY: licences
licences: ## Licences, sources and duplicates of dependencies (needs cargo-deny)
	$(CARGO) deny check bans licenses sources
