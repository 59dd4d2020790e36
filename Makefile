# AgentFlow. `make run` is all that it takes; `make help` lists the rest.

# What is built lives in the user's cache folder, so that every clone shares it. CARGO_TARGET_DIR names another place.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/agentflow
export CARGO_TARGET_DIR ?= $(CACHE)/target

# Rust may have been installed a minute ago, before this shell read its profile.
export PATH := $(PATH):$(HOME)/.cargo/bin

.PHONY: run dev build test test-faults check prepare setup clean help
.DEFAULT_GOAL := help

run: rust ## Set up what is missing, build what has changed, start the server
	@cargo xtask run

dev: rust ## The same for development: builds quickly, and again on every change
	@cargo xtask dev

build: rust ## Build the server for release, with everything that it carries
	@cargo xtask build --release

test: rust ## Run every check and every test, those in a browser too
	@cargo xtask test

test-faults: rust ## Break the built server for some forty minutes, and check what it promised
	@cargo xtask faults

check: rust ## Run the checks alone: format, contrast, layers, lints, SQL
	@cargo xtask check

prepare: rust ## Renew the data that SQL statements are checked against (.sqlx)
	@cargo xtask prepare

setup: rust ## Install what is missing on this machine, for the tests too
	@cargo xtask setup --tests

clean: ## Remove everything that was built
	rm -rf "$(CARGO_TARGET_DIR)" "$(CACHE)/node" end2end/node_modules end2end/test-results end2end/playwright-report

help: ## List these
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | awk -F'\t' '{ printf "  make %-11s %s\n", $$1, $$2 }'

# Cargo takes what was built from another clone for this one's, unless this one's files are newer.
.PHONY: rust
rust:
	@command -v cargo >/dev/null || { echo "Rust is not installed: see https://rustup.rs"; exit 1; }
	@mkdir -p "$(CARGO_TARGET_DIR)"; last="$(CARGO_TARGET_DIR)/checkout"; \
	if [ "$$(cat "$$last" 2>/dev/null)" != "$(CURDIR)" ]; then \
		find Cargo.toml src app frontend server xtask migrations .sqlx -exec touch -c {} + && echo "$(CURDIR)" > "$$last"; \
	fi
	@command -v cc >/dev/null || { echo "There is no C compiler. On Debian and Ubuntu: apt-get install build-essential"; exit 1; }
