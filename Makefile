# A thin front door: meson does the work. `make` alone builds build/roger.
#
#   make            release build: build/roger          make test       all tests, at most five minutes
#   make run        start a server here                 make sanitize   the unit tests under ASan, UBSan, TSan
#   make demo       the main job in ten seconds         make lint       format, static analysis, house rules
#   make install    to PREFIX, below DESTDIR            make setup      install what all of this needs
#   make clean      remove what was built
#
# Nothing here but `make setup` installs anything.

MESON = meson
NINJA := $(shell command -v ninja || command -v ninja-build || echo ninja)
PREFIX = /usr/local
DESTDIR =
ARGS =

.PHONY: all run demo test sanitize lint install clean setup
.DEFAULT_GOAL := all

all: build/build.ninja
	@$(NINJA) -C build roger

build/build.ninja:
	@$(MESON) setup build -Dtests=false

run: all
	build/roger serve $(ARGS)

demo: all
	@scripts/python scripts/demo.py

test:
	@scripts/python scripts/test.py $(ARGS)

sanitize:
	@scripts/python scripts/test.py asan tsan

lint:
	@scripts/lint

install: all
	install -D -m 755 build/roger '$(DESTDIR)$(PREFIX)/bin/roger'
	install -D -m 644 man/roger.1 '$(DESTDIR)$(PREFIX)/share/man/man1/roger.1'

clean:
	rm -rf build build-asan build-tsan build-clang

setup:
	@scripts/setup all
