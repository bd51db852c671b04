# A thin front door: meson does the work. `make` alone builds build/roger.
#
#   make            release build: build/roger          make test       all tests, at most five minutes
#   make run        start a server here                 make sanitize   the unit tests under ASan, UBSan, TSan
#   make demo       the main job in ten seconds         make lint       format, static analysis, house rules
#   make install    to PREFIX, below DESTDIR            make setup      install what all of this needs
#   make clean      remove what was built
#
# The proof (docs/reliability.md); make proof runs all of it, in at most 25 minutes on two cores:
#
#   make sim SEEDS=n [SEED=x]     the simulator             make crash ROUNDS=n   real kills and power cuts
#   make mutants [ONLY=M1,M7]     broken on purpose         make fuzz SECONDS=n   hostile bytes
#   make enumerate                every crash, every bit    make coverage         lines and branches
#
# make bench (bench/README.md) measures Roger beside this machine's floors and beside its peers, which it installs from the
# distribution's packages. ARGS=--quick tries the machinery; the real thing wants half an hour to itself.
#
# Nothing here but `make setup` and `make bench` installs anything.

MESON = meson
NINJA := $(shell command -v ninja || command -v ninja-build || echo ninja)
PREFIX = /usr/local
DESTDIR =
ARGS =

SEEDS = 2000
SEED =
ONLY =
ROUNDS = 30
SECONDS = 60

.PHONY: all ready run demo test sanitize lint install clean setup proof sim mutants enumerate crash fuzz coverage bench
.DEFAULT_GOAL := all

# Without a word when there is nothing to do.
all: build/build.ninja
	@$(NINJA) -C build -n roger 2>&1 | grep -q 'no work to do' || $(NINJA) -C build roger

SETUP = $(MESON) setup build -Dtests=false
build/build.ninja:
	@$(SETUP)

# What ./demo needs; what meson has to say is shown only if it fails.
ready: SETUP = text=$$($(MESON) setup build -Dtests=false 2>&1) || { printf '%s\n' "$$text" >&2; exit 1; }
ready: all

run: all
	build/roger serve $(ARGS)

demo: ready
	@scripts/python scripts/demo.py

test:
	@scripts/python scripts/test.py $(ARGS)

sanitize:
	@scripts/python scripts/test.py asan tsan

lint:
	@scripts/lint

proof: all
	@scripts/python scripts/proof.py $(ARGS)

sim:
	@scripts/python tests/sim/run.py --seeds $(SEEDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

mutants:
	@scripts/python tests/mutants/run.py $(if $(ONLY),--only $(ONLY)) $(ARGS)

enumerate:
	@scripts/python tests/enumerate/run.py $(ARGS)

crash: all
	@scripts/python tests/crash/run.py --rounds $(ROUNDS) $(ARGS)

fuzz:
	@scripts/python fuzz/run.py --seconds $(SECONDS) $(ARGS)

coverage:
	@scripts/python scripts/coverage.py $(ARGS)

bench:
	@scripts/setup bench || echo 'bench: going on with what is here'
	@scripts/python bench/run.py --keep $(ARGS)

install: all
	install -D -m 755 build/roger '$(DESTDIR)$(PREFIX)/bin/roger'
	install -D -m 644 man/roger.1 '$(DESTDIR)$(PREFIX)/share/man/man1/roger.1'

clean:
	rm -rf build build-asan build-tsan build-clang build-mutants build-coverage build-fuzz build-clang-asan build-bench

setup:
	@scripts/setup all
