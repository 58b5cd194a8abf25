# The two commands that matter: `make demo` and `make test`. Everything else is a part of them.

SHELL := /bin/bash

.PHONY: help demo demo-down test acceptance test-clouds runtime build check bench

help:
	@echo 'make demo        install what is missing, build, and run the demo stack on this machine'
	@echo 'make demo-down   remove what the demo made'
	@echo 'make test        everything the tests need, then all tests'
	@echo 'make acceptance  every module of the library, applied on this machine and asked on its URL'
	@echo 'make test-clouds test beds of AWS and OpenStack, machines that really boot, and the tests on them (root, Linux)'
	@echo 'make check       format, lints'
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

test-clouds:
	@scripts/test-clouds

check:
	cargo fmt --check
	cargo clippy --workspace --all-targets -- -D warnings

bench:
	@scripts/bench
