# The two commands that matter: `make demo` and `make test`. Everything else is a part of them.

SHELL := /bin/bash

.PHONY: help demo demo-down test acceptance test-providers test-clouds runtime build check bench performance package test-load test-kills

help:
	@echo 'make demo        install what is missing, build, and run the demo stack on this machine'
	@echo 'make demo-down   remove what the demo made'
	@echo 'make test        everything the tests need, then all tests'
	@echo 'make acceptance  every module of the library, applied on this machine and asked on its URL'
	@echo 'make test-providers  providers of other makes, of protocols 5 and 6, through their whole lives (Debian)'
	@echo 'make test-clouds test beds of AWS and OpenStack, machines that really boot, and the tests on them (root, Linux)'
	@echo 'make test-load   100,000 requests through every change of a stack, none of which may fail'
	@echo 'make test-kills  kill -9 at 100 moments of changes, and a look at what is left'
	@echo 'make check       format, lints'
	@echo 'make package     a Debian package, an archive and their checksums; the package is tried in an empty root (root, Debian)'
	@echo 'make performance 100 to 10,000 objects, side by side with terraform; writes docs/performance.md'
	@echo 'make bench       plan, apply and the tests of the library, side by side with terraform'

# HAProxy, Apache, PHP-FPM from the distribution, mongod into a cache folder; nothing is started or enabled.
runtime:
	@scripts/runtime > /dev/null

build:
	@echo 'building (the first time takes some minutes) ..'
	@cargo build --quiet

demo:
	@scripts/demo up

demo-down:
	@scripts/demo down

test:
	@scripts/test

acceptance:
	@scripts/test acceptance

test-providers:
	@scripts/test-providers

test-clouds:
	@scripts/test-clouds

# On a release build: what is measured is the program, not its debug build.
test-load: runtime
	@cargo build --quiet --release
	@python3 tests/faults/load.py 100000 target/release/lampwright

test-kills: runtime
	@cargo build --quiet --release
	@python3 tests/faults/kills.py change 100 target/release/lampwright

check:
	cargo fmt --check
	cargo clippy --workspace --all-targets -- -D warnings

bench:
	@scripts/bench

performance:
	@cargo build --quiet --release
	@scripts/performance --write

package:
	@scripts/package
	@scripts/package try
