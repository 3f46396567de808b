# Two commands do everything: `make demo` and `make test`. Both install what they need beside rustup, a C compiler and make;
# `make test` needs PostgreSQL's server as well, and installs it where it may.
# One profile and one set of packages for all of them: cargo builds wasmtime once, which takes minutes.

CARGO ?= cargo
WASM := --release --target wasm32-wasip2 -p windlass-example-backup -p windlass-example-provision -p windlass-fixtures
SOURCE ?= .

# The programs whose suites every store passes: on PostgreSQL when redb has had its turn.
ON_EVERY_STORE := e2e faults
# What is in them about one store: disks that fail (faults 8 and 9), data directories and full disks are about redb's file, and
# fault_postgres has its own servers.
ON_ONE_STORE := fault_8_ fault_9_ directory:: disk:: fault_postgres::

.PHONY: all demo test bench suites build plugins check fmt clean toolchain

all: build plugins

# The pinned toolchain and its wasm target; rustup reads rust-toolchain.toml.
toolchain:
	@command -v rustup >/dev/null || { echo "rustup is missing: install it from https://rustup.rs" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "a C compiler is missing: install it with 'apt-get install -y gcc'" >&2; exit 1; }
	@rustup show active-toolchain >/dev/null 2>&1 || rustup toolchain install
	@rustup target list --installed | grep -qx wasm32-wasip2 || rustup target add wasm32-wasip2

build: toolchain
	$(CARGO) build --release --locked

plugins: toolchain
	$(CARGO) build --locked $(WASM)

# The main job on real input, from upload to undo. SOURCE=... backs up another directory.
demo: build plugins
	target/release/windlass-demo --source "$(SOURCE)"

# Formatting, lints and every suite, beside a PostgreSQL server of their own.
test: check plugins build
	tests/postgres run $(MAKE) suites

# Every suite, then those of every store once more on PostgreSQL. Needs what `make test` sets up.
suites:
	$(CARGO) test --release --locked
	WINDLASS_TEST_STORE=postgres $(CARGO) test --release --locked $(ON_EVERY_STORE:%=--test %) -- $(ON_ONE_STORE:%=--skip %)

# What a host does, as its clients see it, beside the floor of the same run; then what PostgreSQL costs. For a quiet machine:
# ten minutes once built. BENCH=--quick takes one, and BENCH=--help tells what else there is.
BENCH ?=
bench: build plugins
	$(CARGO) build --release --locked --bin bench --bin bench_store
	target/release/bench $(BENCH)
	tests/postgres run env WINDLASS_TEST_STORE=postgres target/release/bench_store

check: toolchain
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --locked --all-targets -- -D warnings
	@! command -v shellcheck >/dev/null || shellcheck .ci/run tests/postgres

fmt:
	$(CARGO) fmt --all
