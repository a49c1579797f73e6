# Every target that needs it does the set-up first; on a system that is set up this takes a fraction of a second.
BIN := node_modules/.bin
ENTRACE := node build/src/cli/main.js
CACHE := build/suite
PAGE := build/web/index.html
PAGE_SOURCES := $(shell find web src/web/protocol.ts src/web/messages.ts src/debugger/view.ts package-lock.json -type f 2>/dev/null)

.PHONY: build page help setup downloads run test suite catalogue ablation conformance lint format bench clean distclean

build: setup
	@$(BIN)/tsc -b
	@$(MAKE) --silent --no-print-directory page

# The page of entrace serve: only when something of it has changed.
page: $(PAGE)

$(PAGE): $(PAGE_SOURCES)
	@$(BIN)/tsc -p web
	@$(BIN)/vite build --config web/vite.config.ts --logLevel warn

help:
	@echo 'make             the same as make build'
	@echo 'make build       set up, then compile src/, test/, bench/ and conformance/ into build/, and the page in web/'
	@echo 'make setup       install what is missing: libunicorn2 (without root: into .setup/), the npm packages'
	@echo 'make downloads   fetch real entry code from Debian into downloads/: Linux 6.1, Xen 4.17'
	@echo 'make run         explore asm/linux_nmi.S, whose verdict holds, and asm/linux_nmi_rfc.S, whose verdict fails'
	@echo 'make test        lint, then run all tests; TESTS="harness cpu" runs those whose path contains one of the words'
	@echo '                 and then the scenarios that are not marked as long'
	@echo 'make suite       run all scenarios; OPTIONS="--filter L-3 --reporter ktap" is passed on'
	@echo 'make catalogue   run all scenarios, and write docs/catalogue.md'
	@echo 'make ablation    alter each instruction of asm/linux_nmi.S, and write docs/ablation.md (takes minutes)'
	@echo 'make conformance compare the machine with QEMU and Bochs, and write CONFORMANCE.md; installs what it needs;'
	@echo '                 OPTIONS="--programs N --seed S --peer qemu" is passed on'
	@echo 'make lint        check style and formatting'
	@echo 'make format      correct formatting and what else can be corrected safely'
	@echo 'make bench       measure'
	@echo 'make clean       remove build/'
	@echo 'make distclean   remove also what make setup put here: node_modules/, .setup/ and downloads/'

setup:
	@scripts/setup.sh

# Exit status 1 is the verdict "fails", and the only right answer for the second handler.
run: build
	$(ENTRACE) explore asm/linux_nmi.S
	@echo '$(ENTRACE) explore asm/linux_nmi_rfc.S'; \
	$(ENTRACE) explore asm/linux_nmi_rfc.S; status=$$?; \
	if [ $$status -ne 1 ]; then \
	  echo "make run: asm/linux_nmi_rfc.S: exit status $$status instead of 1 (the verdict fails)" >&2; exit 1; \
	fi

# Without the peers the tests that need them are skipped, and say so.
test: build lint downloads
	@scripts/setup.sh conformance || true
	@node scripts/test.mjs $(TESTS)
	@if [ -z "$(TESTS)" ]; then $(ENTRACE) test --short --cache $(CACHE); fi

# Real entry code from Debian: tests and scenarios that need it are skipped where it cannot be had, and say so.
downloads:
	@scripts/downloads.sh || true

# The cache is keyed by content: what make test has just run is not run again.
suite: build downloads
	@$(ENTRACE) test --cache $(CACHE) $(OPTIONS)

catalogue: build downloads
	@$(ENTRACE) test --cache $(CACHE) --reporter text --reporter catalogue=docs/catalogue.md

ablation: build
	@$(ENTRACE) ablate scenarios/ablation/*.yaml --only nmi..do_nmi_end --known docs/ablation.survivors.yaml --markdown docs/ablation.md --cache $(CACHE)

# Exit status 1: something differs that is on no list.
conformance: build
	@scripts/setup.sh conformance
	@node build/conformance/run.js $(OPTIONS)

lint: setup
	@$(BIN)/biome check .

format: setup
	@$(BIN)/biome check --write .

bench: build
	@node build/bench/bench.js

clean:
	rm -rf build

distclean: clean
	rm -rf node_modules .setup downloads
