# SPDX-License-Identifier: Apache-2.0
# nccl-redirect. `make help` lists the targets; the rules of the tests are in tests/Makefile.

# Your compiler (CC) and options (CPPFLAGS, LDFLAGS too); the project's own come first.
CFLAGS ?= -Os -g
# Where everything goes that is built; what is downloaded stays in build/.
BUILD ?= build
# Where `make install` puts things; DESTDIR goes before it.
PREFIX ?= /usr/local
# V=1 shows the commands.
V := 0
# How many tests run at once.
JOBS = $(or $(patsubst -j%,%,$(filter -j%,$(MAKEFLAGS))),$(shell nproc))

# What is missing, before a compiler says it with the first file's name.
HEADERS := stdio.h elf.h linux/futex.h
ifneq ($(filter-out help clean uninstall,$(or $(MAKECMDGOALS),all)),)
MISSING := $(shell printf '\043include <%s>\n' $(HEADERS) | $(CC) -E -x c - 2>&1 >/dev/null || echo failed)
ifneq ($(filter failed,$(MISSING)),)
$(error cannot compile with CC=$(CC): $(or $(filter-out failed,$(MISSING)),no such compiler); install a C compiler with the \
  headers of the C library and of Linux (Debian: apt-get install gcc libc6-dev; Fedora: dnf install gcc glibc-devel))
endif
endif

VERSION := $(shell cat VERSION)

# Folders of sources: every C and assembly file in them belongs to the loader, to the shim, or to the tool.
LOADER := $(wildcard abi loader)
SHIM := shim $(patsubst %/,%,$(wildcard shim/*/))
TOOL := $(wildcard trace cli)
CPU := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))
OTHER_CPU := $(if $(filter x86_64 aarch64,$(CPU)),%_$(filter-out $(CPU),x86_64 aarch64))

# $(call known,OPTION...): those of them that this compiler has.
known = $(foreach o,$(1),$(shell $(CC) -Werror $o -S -x c /dev/null -o /dev/null 2>/dev/null && echo $o))

# Two warnings are errors: a pointer to another struct than the callee's compiles, and crashes.
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror=incompatible-pointer-types \
            -Werror=implicit-function-declaration
# initial-exec: a preloaded library has its thread-local storage from the start, and need not ask the loader for it.
OUR_CFLAGS := -std=gnu11 -fPIC -fvisibility=hidden -ftls-model=initial-exec $(WARNINGS) -D_GNU_SOURCE -MMD -MP \
              -DNCR_VERSION='"$(VERSION)"' -I. $(addprefix -I,$(LOADER) $(SHIM) $(TOOL) include)

# The same sources give the same bytes in every folder.
OUR_CFLAGS += $(if $(word 2,$(CURDIR)),,$(call known,-ffile-prefix-map=$(CURDIR)=.))
# Hardening; scripts/check-hardening reads it off the files. The tool's objects get _FORTIFY_SOURCE too. The library's do
# not: musl lacks the functions that it calls, and each program on musl that inherited the preload would fail to start.
OUR_CFLAGS += $(call known,-fstack-protector-strong)
OUR_LDFLAGS := -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack
# A library without this note switches a process's shadow stack off. Nothing is compiled differently for it: C needs no
# change, and the assembly never returns to another place than it was called from. The note for indirect branches (IBT)
# is not claimed: it would put an endbr64 on the way of each call, no Linux kernel turns IBT on for programs, and an
# object that lacks it takes nothing from others.
ifeq ($(CPU),x86_64)
OUR_LDFLAGS += -Wl,-z,shstk
endif

# noseparate-code: two segments instead of four. Every program of a job maps this library, and a mapping is 1 % of the
# exec of `true`.
SHIM_LDFLAGS := -shared -Wl,--version-script=shim/exports.map -Wl,-z,defs -Wl,--hash-style=gnu -Wl,-O1 -Wl,-z,noseparate-code \
                -Wl,--gc-sections

# $(call objects,FOLDERS): the object file of each source in them, but those for another CPU.
objects = $(patsubst %,$(BUILD)/%.o,$(filter-out $(OTHER_CPU),$(basename $(wildcard $(foreach f,$(1),$f/*.c $f/*.S)))))
# $(call run,WORD) COMMAND: the command itself with V=1, else a short line that says what it makes.
run = $(if $(filter 0,$(V)),@$(if $(findstring s,$(firstword -$(MAKEFLAGS))),,printf '  %-8s %s\n' $(1) '$(@:$(BUILD)/%=%)' && ))mkdir -p $(@D) &&

.DEFAULT_GOAL := all
.PHONY: all docs demo wheel deb bench install uninstall lint format clean help

all: $(BUILD)/libnccl_redirect.so $(BUILD)/librccl_redirect.so $(BUILD)/nccl-redirect ## Build the preload libraries and the tool (needs a C compiler and make)

$(BUILD)/%.o: %.c Makefile VERSION
	$(call run,CC) $(CC) $(OUR_CFLAGS) $(CPPFLAGS) $(CFLAGS) -c $< -o $@
$(BUILD)/%.o: %.S Makefile VERSION
	$(call run,AS) $(CC) $(OUR_CFLAGS) $(CPPFLAGS) $(CFLAGS) -c $< -o $@
$(BUILD)/%-rccl.o: %.c Makefile VERSION
	$(call run,CC) $(CC) $(OUR_CFLAGS) -DNCR_FOR_RCCL $(CPPFLAGS) $(CFLAGS) -c $< -o $@
$(BUILD)/%.a:
	$(call run,AR) rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/loader.a: $(call objects,$(LOADER))
$(BUILD)/trace.a: $(call objects,trace)

# A process's map must name one library with libnccl in it, the active NCCL: programs check that. So the files have names
# without it, and the names that users type are links.
$(BUILD)/lib%_redirect.so: $(BUILD)/%_redirect.so
	@ln -sf $(<F) $@

# In the order of their variables: first the copies of the environment, which lie in a page that every process has touched
# anyway (loader/every_process.h), last the large tables, which few pages of a process need.
FIRST := $(BUILD)/loader/environment.o
LAST := $(patsubst %,$(BUILD)/%.o,loader/log_limit shim/kept shim/trace/communicators shim/trace/pending)
SHIM_OBJECTS := $(FIRST) $(filter-out $(FIRST) $(LAST),$(call objects,$(LOADER) $(SHIM))) $(LAST)

# binding.c alone knows for which family the shim is.
$(BUILD)/nccl_redirect.so: $(SHIM_OBJECTS)
$(BUILD)/rccl_redirect.so: $(subst /binding.o,/binding-rccl.o,$(SHIM_OBJECTS))
$(BUILD)/nccl_redirect.so: private SONAME := libnccl.so.2
$(BUILD)/rccl_redirect.so: private SONAME := librccl.so.1
$(BUILD)/nccl_redirect.so $(BUILD)/rccl_redirect.so: shim/exports.map
	$(call run,LD) $(CC) -Wl,-soname,$(SONAME) -o $@ $(filter %.o,$^) $(SHIM_LDFLAGS) $(OUR_LDFLAGS) $(LDFLAGS)

# ---- the command-line tool ----

# What scripts/setup unpacks for the tests of a user who is not root.
PACKAGES := build/packages/usr
PACKAGES_LIB := $(PACKAGES)/lib/$(shell $(CC) -dumpmachine)
PACKAGES_LDFLAGS := -L$(PACKAGES_LIB) -Wl,-rpath,$(CURDIR)/$(PACKAGES_LIB)

# Nothing unwinds the tool's functions, nor those that run once, while an NCCL is chosen, but a debugger, which has the debug
# information: no tables for them in memory. Cancelling a thread is held off meanwhile (shim/gate.c). The others are in the
# middle of calls: tests/test_unwind. And what the preload alone needs of the loader's sources is not linked into the tool.
RUN_ONCE := $(wildcard $(foreach f,build_id bundle candidates choice config elf_* folders history ld_search ldcache program \
              pth python range report system torch torch_nccl validate,loader/$f.c))
$(call objects,$(TOOL)) $(RUN_ONCE:%.c=$(BUILD)/%.o): private OUR_CFLAGS += -fno-asynchronous-unwind-tables -fno-unwind-tables
$(call objects,$(LOADER)): private OUR_CFLAGS += -ffunction-sections -fdata-sections
$(call objects,$(TOOL)): private OUR_CFLAGS += $(if $(filter-out -O0,$(filter -O%,$(CFLAGS))),-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
# They find libc's functions, so a compiler must not make a loop of theirs into a call of strlen.
$(patsubst %,$(BUILD)/%.o,loader/scope loader/symbols shim/imports): private \
    OUR_CFLAGS += -fno-builtin $(call known,-fno-tree-loop-distribute-patterns)
# gc-sections: so that nothing is left of the C library's _start (cli/start_x86_64.S says why).
$(BUILD)/nccl-redirect: $(call objects,cli) $(BUILD)/trace.a $(BUILD)/loader.a
	$(call run,LD) $(CC) -pie -o $@ $^ -Wl,-e,ncr_tool_start -Wl,--gc-sections -Wl,-Map=$@.map $(OUR_LDFLAGS) $(LDFLAGS)

docs: $(BUILD)/nccl-redirect ## Write the tool's tables into its manual pages and completions
	@scripts/make-docs $(BUILD)/nccl-redirect

$(BUILD)/demo/%: examples/%.c $(BUILD)/libnccl_redirect.so
	$(call run,CC) $(CC) $(CFLAGS) -Iinclude $< -o $@ $(BUILD)/libnccl_redirect.so -ldl

# The same version has no wheel for the other CPU.
DEMO_WHEEL := build/nccl/$(if $(filter aarch64,$(CPU)),cu12-2.20.5,cu12-2.21.5)/lib/libnccl.so.2

demo: all $(BUILD)/demo/all_reduce $(BUILD)/hostmem/plain/libnccl.so.2 $(DEMO_WHEEL) ## Run one unmodified program under every NCCL of this machine
	@scripts/demo $(BUILD) $(DEMO_WHEEL)

wheel: ## Build wheels for x86-64 and aarch64 into build/packaging/dist
deb: ## Build the Debian package into build/packaging/dist
wheel deb:
	@$(MAKE) --no-print-directory -C packaging $@

include tests/Makefile
include fuzz/Makefile

# ---- benchmark ----

BENCH := $(addprefix $(BUILD)/bench/,spawn bare calls route record empty.so nothing.so)

$(BUILD)/bench/empty.so $(BUILD)/bench/nothing.so: private BENCH_FLAGS := -shared -fPIC
$(BUILD)/bench/bare: private BENCH_FLAGS := -ldl
$(BUILD)/bench/calls $(BUILD)/bench/route $(BUILD)/bench/record: private BENCH_FLAGS := $(BUILD)/libnccl_redirect.so -pthread
$(BENCH): $(BUILD)/bench/%: all
	$(call run,CC) $(CC) -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -I. $(addprefix -I,$(wildcard abi shim)) $(CFLAGS) \
	    bench/$(basename $*).c -o $@ $(BENCH_FLAGS)

bench: $(BENCH) $(BUILD)/tests/libraries/capture_driver.so $(BUILD)/hostmem/plain/libnccl.so.2 $(BUILD)/hostmem/old/libnccl.so.2 $(lastword $(WHEEL_FILES)) ## Measure the cost of a call, of a process and of binding against direct use
	@scripts/setup valgrind strace binutils
	@bench/run $(BUILD) $(lastword $(WHEEL_FILES))

# ---- install ----

OWN := lib/nccl-redirect
BOTH := nccl_redirect.so rccl_redirect.so

# What 32-bit children of a job get: a library with nothing in it. Where the compiler cannot make one they print a line.
$(BUILD)/stub-32.so:
	$(call run,LD) $(CC) -m32 -nostdlib -shared -Wl,-z,noexecstack -x c /dev/null -o $@ || \
	    echo "install: no 32-bit stub (gcc -m32 failed)"

# The loader replaces $LIB by lib/TRIPLET on Debian and Ubuntu, by lib64 (32-bit: lib) on Red Hat and SUSE, by lib
# (32-bit: lib32) on Arch and NixOS. `lib` alone is ambiguous: it is for 32-bit programs if the loader here says lib64
# for 64-bit ones.
SAYS_LIB64 = $(shell t=$$(mktemp -d) && ln -s $(abspath $(BUILD)) $$t/lib64 && \
                 LD_PRELOAD=$$t/\$$LIB/libnccl_redirect.so env 2>&1 >/dev/null | grep -q . || echo yes; rm -r $$t)
STUB = $(if $(filter x86_64,$(CPU)),$(shell ls $(BUILD)/stub-32.so 2>/dev/null))
LIB_FOLDERS = $(foreach l,$(BOTH),link:../../$l:$(OWN)/lib/$(CPU)-linux-gnu/lib$l link:../$l:$(OWN)/lib64/lib$l \
                  link:../$(if $(and $(STUB),$(SAYS_LIB64)),stub-32.so,$l):$(OWN)/lib/lib$l \
                  $(if $(STUB),link:../../stub-32.so:$(OWN)/lib/i386-linux-gnu/lib$l link:../stub-32.so:$(OWN)/lib32/lib$l))
# With what they link to.
DOCUMENTS := README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md LICENSE \
             $(wildcard docs/*.md docs/*.png examples/* packaging/conda/* packaging/recipes/*)
TO_INSTALL = $(foreach l,$(BOTH),644:$(BUILD)/$l:$(OWN)/$l link:$l:$(OWN)/lib$l) \
             $(addprefix 644:,$(addsuffix :$(OWN)/stub-32.so,$(STUB))) $(LIB_FOLDERS) \
             755:scripts/container-entrypoint:$(OWN)/container-entrypoint \
             $(foreach f,python_setup.py python_startup.py,644:packaging/startup/$f:$(OWN)/$f) \
             755:$(BUILD)/nccl-redirect:$(OWN)/nccl-redirect link:../$(OWN)/nccl-redirect:bin/nccl-redirect \
             $(foreach d,$(DOCUMENTS),644:$d:share/doc/nccl-redirect/$d) \
             $(foreach h,$(wildcard include/*.h),link:../../../../$h:share/doc/nccl-redirect/$h) \
             $(foreach h,$(wildcard include/*.h),644:$h:include/$(notdir $h)) \
             $(foreach m,$(wildcard docs/man/*.1 docs/man/*.7),644:$m:share/man/man$(patsubst .%,%,$(suffix $m))/$(notdir $m)) \
             644:cli/completion/nccl-redirect.bash:share/bash-completion/completions/nccl-redirect \
             644:cli/completion/_nccl-redirect:share/zsh/site-functions/_nccl-redirect

# Both in one folder: Lmod prefers the one in Lua, Environment Modules passes it over.
MODULE := share/modulefiles/nccl-redirect/$(VERSION)
# Files that name the prefix: they are written anew by each install, which may run beside another one.
NAMING_PREFIX := scripts/nccl-redirect.pc.in packaging/modules/nccl-redirect.lua.in packaging/modules/nccl-redirect.tcl.in
install: all $(if $(filter x86_64,$(CPU)),$(BUILD)/stub-32.so) ## Install under DESTDIR and PREFIX (/usr/local)
	@scripts/install --check-prefix '$(PREFIX)'
	@t=$$(mktemp -d) && trap 'rm -rf $$t' EXIT && for f in $(NAMING_PREFIX); do \
	    sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' $$f >$$t/$${f##*/}; done && \
	    scripts/install "$(DESTDIR)$(PREFIX)" $(TO_INSTALL) 644:$$t/nccl-redirect.pc.in:share/pkgconfig/nccl-redirect.pc \
	    644:$$t/nccl-redirect.lua.in:$(MODULE).lua 644:$$t/nccl-redirect.tcl.in:$(MODULE)
	@preload=$$($(if $(DESTDIR),false,env -u LD_PRELOAD $(PREFIX)/bin/nccl-redirect env --format sh) 2>/dev/null | \
	     sed -n 's/^export LD_PRELOAD=//p'); printf '%s\n' \
	    "installed; LD_PRELOAD=$${preload:-$(PREFIX)/$(OWN)/libnccl_redirect.so}" \
	    "  tool       $(PREFIX)/bin/nccl-redirect" \
	    "  manual     $(PREFIX)/share/man/man1/nccl-redirect.1 (man nccl-redirect)" \
	    "  documents  $(PREFIX)/share/doc/nccl-redirect"$(if $(DESTDIR), "all of it below $(DESTDIR)")

uninstall: ## Remove exactly what install put there
	@scripts/install --remove "$(DESTDIR)$(PREFIX)"

# ---- the sources ----

lint: $(BUILD)/nccl-redirect ## What tools can check about the sources (CHECKS="format tidy" for some)
	@scripts/setup clang-format clang-tidy cppcheck shellcheck libslurm-dev
	@scripts/lint $(BUILD) $(CHECKS)

format: ## Bring the C sources into form
	@scripts/setup clang-format
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean: ## Remove what was built, keep what was downloaded
	rm -rf $(filter-out $(addprefix $(BUILD)/,nccl packages roots torch wheels),$(wildcard $(BUILD)/*))

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

-include $(foreach o,$(call objects,$(LOADER) $(SHIM) $(TOOL)),$(o:.o=.d) $(o:.o=-rccl.d))
