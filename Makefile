# microsandbox. `make demo` shows it, `make test` tests it, `make install` installs it,
# `make dist` makes a tarball of it.
SHELL := /bin/bash
.DELETE_ON_ERROR:
PREFIX ?= $(HOME)/.local
BUILD := build/release
SANITIZED := build/sanitized
LIBEXEC := $(BUILD)/libexec/microsandbox
CMAKE := cmake -G Ninja -DCMAKE_CXX_COMPILER=clang++-19 -DCMAKE_BUILD_TYPE=None

.PHONY: all setup kernel images demo test unit repl mcp sanitize fuzz system sdk soak lint tidy format bench install dist clean

all: kernel
	@[ -f $(BUILD)/build.ninja ] || $(CMAKE) -B $(BUILD) >/dev/null
	ninja -C $(BUILD)

setup:
	scripts/setup build test

# The guest kernel comes from a cache outside the checkout (guest/kernel/build says where).
kernel:
	@mkdir -p $(LIBEXEC)
	@kernel=$$(guest/kernel/build) && ln -sfn "$$kernel" $(LIBEXEC)/linux

IMAGES := base python node python-data
images: all
	set -e; for image in $(IMAGES); do images/build $$image; done

demo:
	scripts/setup build
	$(MAKE) images IMAGES="base python"
	scripts/demo

test: unit repl mcp sanitize fuzz system sdk

unit: all
	ctest --test-dir $(BUILD) --output-on-failure -j2

# The REPL drivers on the host's own python3 and node (without node its tests are skipped).
repl:
	python3 -m pytest -q tests/repl

# The official conformance suite and SDKs of MCP, fetched once into build/mcp; with real sandboxes, too.
mcp: all
	$(MAKE) build/test-home/.images
	MSB_HOME=$(TEST_HOME) python3 -m pytest -q tests/mcp

sanitize:
	@[ -f $(SANITIZED)/build.ninja ] || $(CMAKE) -B $(SANITIZED) -DMSB_SANITIZE=ON >/dev/null
	ninja -C $(SANITIZED)
	ctest --test-dir $(SANITIZED) --output-on-failure -j2

# Each fuzzer for FUZZ_SECONDS, two at a time.
FUZZ_SECONDS ?= 20
fuzz: sanitize
	scripts/fuzz $(SANITIZED) $(FUZZ_SECONDS)

# The tests' images live in a store of their own, made again when a recipe or the converter changes.
TEST_HOME := $(CURDIR)/build/test-home
build/test-home/.images: images/build images/finish images/normalize $(wildcard images/*/recipe) $(LIBEXEC)/msb-convert
	mkdir -p -m 700 $(TEST_HOME)
	set -e; for image in $(IMAGES); do MSB_HOME=$(TEST_HOME) images/build $$image; done
	touch $@
$(LIBEXEC)/msb-convert: ;

system: all
	$(MAKE) build/test-home/.images
	tests/kernel/run $(LIBEXEC)/linux
	MSB_HOME=$(TEST_HOME) python3 -m pytest -q tests/system

# The SDKs as their users get them: built, installed from that, and run against a server of this build.
sdk: all
	$(MAKE) build/test-home/.images
	MSB_HOME=$(TEST_HOME) python3 -m pytest -q tests/sdk

soak: all
	$(MAKE) build/test-home/.images
	SOAK=1 tests/kernel/run $(LIBEXEC)/linux
	MSB_HOME=$(TEST_HOME) SOAK=1 python3 -m pytest -q tests/system
	$(MAKE) fuzz FUZZ_SECONDS=600

lint:
	scripts/check-layers
	git ls-files '*.cc' '*.h' | xargs clang-format-19 --dry-run -Werror
	shellcheck $$(git ls-files scripts .ci guest images tests bench | xargs grep -lE '^\#!.*\b(ba)?sh\b')

# Slow (a quarter of a minute a file), so not part of lint: for what you are changing.
FILES ?= $(shell git diff --name-only HEAD~5 -- '*.cc')
tidy: all
	clang-tidy-19 --quiet -p $(BUILD) $(FILES)

format:
	git ls-files '*.cc' '*.h' | xargs clang-format-19 -i

bench: all
	scripts/setup build bench
	$(MAKE) build/test-home/.images
	MSB_HOME=$(TEST_HOME) bench/run

install: all
	scripts/stage $(BUILD) build/stage
	build/stage/install.sh --no-images --prefix "$(DESTDIR)$(PREFIX)"

# A tarball that installs anywhere, without a network. Its images are those that the tests use.
dist: all
	$(MAKE) build/test-home/.images
	MSB_HOME=$(TEST_HOME) scripts/dist $(BUILD) build/dist

clean:
	rm -rf build
