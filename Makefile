# A thin front: every target calls a script of ci/ or a binary of the build. `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
FUZZ_SECONDS ?= 60
PREFIX ?= /usr/local
LAB := build/bin/lab

.PHONY: help build built lab-up lab-down test test-netem readme scenarios requirements conformance fuzz fuzz-coverage fuzz-minimize fuzz-msan fuzz-tsan mutants bench bench-core check format tidy install uninstall deb test-deb fresh-machine clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

build: ## the everyday build, in build/, file by file
	@ci/build dev -DVPN_BUILT_ONCE=OFF

built: ## build/ brought up to date, as it was begun (lab-up and test begin one of many files at a time)
	@ci/build --once dev

lab-up: ## (sudo) install what is missing, build, bring up two hosts with a tunnel, and prove it
	@ci/lab-up

lab-down: ## (sudo) take the lab down; nothing is left
	@$(LAB) down

test: ## (sudo) unit tests, checks, scenarios, fuzz smoke: one line a part and a total
	@ci/test

readme: built ## (sudo) run the blocks of README.md, in order
	@ci/readme-blocks

scenarios: built ## (sudo) the scenario suite alone
	@ci/scenarios

test-netem: built ## what needs the kernel's own netem and WireGuard, in a User-Mode Linux (built once, some minutes)
	@ci/test-netem

requirements: built ## (sudo) every requirement with the tests that show it, and whether they pass (VPN_NETEM=off leaves out the netem lane)
	@source ci/steps.sh; as_owner mkdir -p build-logs; trap 'give_back build-logs build' EXIT; \
	ctest --test-dir build -j $$(nproc) -LE slow --output-junit $(CURDIR)/build-logs/ctest.xml >build-logs/ctest.log; \
	ci/scenarios -q --requirements build-logs/requirements.json; rm -f build-logs/requirements-netem.json; \
	[ "$(VPN_NETEM)" = off ] || ci/test-netem; ci/requirements build-logs/ctest.xml build-logs/requirements*.json

conformance: built ## (sudo) the scenarios that see a tunnel from outside, on every WireGuard here: a table, case by implementation
	@source ci/steps.sh; trap 'give_back build-logs' EXIT; ci/conformance

fuzz: ## every fuzz target, FUZZ_SECONDS each (60)
	@ci/build fuzz --target fuzz_targets
	@ci/fuzz --seconds $(FUZZ_SECONDS)

fuzz-%: ## one fuzz target: make fuzz-parser FUZZ_SECONDS=600
	@ci/build fuzz --target fuzz_$*
	@ci/fuzz --seconds $(FUZZ_SECONDS) $*

fuzz-coverage: ## what the committed corpora cover: a table a file, pages in build-coverage/html/
	@ci/fuzz-coverage

fuzz-minimize: ## keep the corpora small, and take over what fuzzing found
	@ci/build fuzz --target fuzz_targets
	@ci/fuzz-minimize

fuzz-msan: ## the targets that MemorySanitizer can judge; the other corpora under valgrind
	@ci/fuzz-msan

fuzz-tsan: ## the target that has threads, under ThreadSanitizer
	@ci/build fuzz-tsan --target fuzz_threads
	@ci/fuzz --build build-fuzz-tsan --seconds $(FUZZ_SECONDS) threads

mutants: ## plant the bugs of fuzz/mutants/, and let the fuzzers find each within FUZZ_SECONDS
	@ci/mutants --seconds $(FUZZ_SECONDS)

bench: built ## (sudo) ours and other VPNs side by side, cost curves, ciphers alone: build-logs/bench.{json,svg} and more
	@ci/build dev --target vpn_bench_plaintext vpn_bench_crowd
	@ci/bench

bench-core: ## ciphers, handshakes, replay check, look-ups, memory, a hub of 10,000 peers
	@ci/build dev --target vpn_crypto_bench vpn_core_bench vpn_sim_bench
	@for bench in crypto core sim; do build/bin/vpn_$${bench}_bench || exit; done

check: built ## format, include arrows, purity of the core, house-keeping, types
	@ci/checks

format: ## clang-format over every C++ file
	@ci/check-format --fix

tidy: built ## clang-tidy over what changed
	@ci/check-tidy

install: built ## (sudo) install vpn, lab and vpnlab below PREFIX (/usr/local); DESTDIR is honoured
	@ci/install $(PREFIX)

uninstall: ## (sudo) remove what 'make install' installed
	@ci/install --remove

deb: ## Debian packages vpn, vpn-lab and python3-vpnlab, in build-deb/
	@ci/deb

test-deb: deb ## (sudo) install, run and purge the packages in an empty Debian
	@ci/test-deb

fresh-machine: ## (sudo) the README's commands as a new user of an empty Debian types them (half an hour; see ci/fresh-machine)
	@ci/fresh-machine

clean: ## remove every build folder
	@rm -rf build build-*
