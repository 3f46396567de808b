# Two commands do everything: `make demo` and `make test`. Both install what they need beside rustup, a C compiler and make.
# One profile and one set of packages for all of them: cargo builds wasmtime once, which takes minutes.

CARGO ?= cargo
WASM := --release --target wasm32-wasip2 -p windlass-example-backup -p windlass-fixtures
SOURCE ?= .

.PHONY: all demo test build plugins check fmt clean toolchain

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

# Formatting, lints and every suite.
test: check plugins
	$(CARGO) build --release --locked
	$(CARGO) test --release --locked

check: toolchain
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --locked --all-targets -- -D warnings

fmt:
	$(CARGO) fmt --all
