# nccl-redirect. `make help` lists the targets.

CC ?= gcc
BUILD ?= build
CFLAGS ?= -Os -g
V ?= 0

Q := $(if $(filter 0,$(V)),@)
say = $(if $(filter 0,$(V)),@printf '  %-8s %s\n' $(1) $(2))

# initial-exec: a preloaded library has its thread-local storage from the start, and need not ask the loader for it.
OUR_CFLAGS := -std=gnu11 -fPIC -fvisibility=hidden -ftls-model=initial-exec -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
              -Iloader -Ishim -Ibridge -Iroute -Iinclude -D_GNU_SOURCE -MMD -MP
SHIM_LDFLAGS := -shared -Wl,--version-script=shim/exports.map -Wl,-z,defs -Wl,-z,relro -Wl,--hash-style=gnu -Wl,-O1

LOADER := $(patsubst %.c,$(BUILD)/%.o,$(wildcard loader/*.c))
SHIM := $(patsubst %,$(BUILD)/%.o,$(basename $(wildcard shim/*.c shim/*.S bridge/*.c route/*.c)))
# binding.c alone knows for which family the shim is.
SHIM_RCCL := $(subst shim/binding.o,shim/binding-rccl.o,$(SHIM))

.DEFAULT_GOAL := all
.PHONY: all tool docs bench check check-abi check-tsan matrix check-aarch64 check-old-glibc lint format clean help install uninstall test-parts FORCE check-gpu check-torch check-containers check-launchers demo test-packages

all: $(BUILD)/libnccl_redirect.so $(BUILD)/librccl_redirect.so ## Build the preload libraries (needs a C compiler and make)

$(BUILD)/loader/%.o: loader/%.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(OUR_CFLAGS) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/shim/%.o: shim/%.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(OUR_CFLAGS) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/shim/%.o: shim/%.S
	$(call say,AS,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(OUR_CFLAGS) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/bridge/%.o: bridge/%.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(OUR_CFLAGS) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/route/%.o: route/%.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(OUR_CFLAGS) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/shim/binding-rccl.o: shim/binding.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(OUR_CFLAGS) -DNCR_FOR_RCCL $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/loader.a: $(LOADER)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

# A process's map must name one library with libnccl in it, the active NCCL: programs check that. So the files have names
# without it, and the names that users type are links.
$(BUILD)/lib%_redirect.so: $(BUILD)/%_redirect.so
	$(Q)ln -sf $(<F) $@

$(BUILD)/nccl_redirect.so: $(SHIM) $(BUILD)/loader.a shim/exports.map
	$(call say,LD,$@)
	$(Q)$(CC) -Wl,-soname,libnccl.so.2 -o $@ $(SHIM) $(BUILD)/loader.a $(SHIM_LDFLAGS) $(LDFLAGS)

$(BUILD)/rccl_redirect.so: $(SHIM_RCCL) $(BUILD)/loader.a shim/exports.map
	$(call say,LD,$@)
	$(Q)$(CC) -Wl,-soname,librccl.so.1 -o $@ $(SHIM_RCCL) $(BUILD)/loader.a $(SHIM_LDFLAGS) $(LDFLAGS)

# ---- the command-line tool ----

# libelf, cJSON and libmd, of the system or unpacked by scripts/setup. `make all` builds the tool only where they are.
TOOL_PACKAGES := libelf-dev libcjson-dev libmd-dev $(if $(filter-out 0,$(shell id -u)),libelf1 libcjson1 libmd0)
TOOL_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard cli/*.c))
TOOL_READY := $(and $(wildcard /usr/include/gelf.h),$(wildcard /usr/include/cjson/cJSON.h),$(wildcard /usr/include/sha2.h))
PACKAGES_LIB := build/packages/usr/lib/$(shell $(CC) -dumpmachine)
TOOL_LDFLAGS := $(if $(TOOL_READY),,-L$(PACKAGES_LIB) -Wl,-rpath,$(CURDIR)/$(PACKAGES_LIB)) -lelf -lcjson -lmd -ldl

$(BUILD)/cli/%.o: cli/%.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(OUR_CFLAGS) -Icli -idirafter build/packages/usr/include $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/nccl-redirect: $(TOOL_OBJECTS) $(BUILD)/loader.a
	$(call say,LD,$@)
	$(Q)$(CC) -o $@ $(TOOL_OBJECTS) $(BUILD)/loader.a $(TOOL_LDFLAGS) $(LDFLAGS)

tool: ## Build the command-line tool (fetches libelf, cJSON and libmd first)
	@$(if $(TOOL_READY),:,scripts/setup $(TOOL_PACKAGES))
	@$(MAKE) --no-print-directory $(BUILD)/nccl-redirect

all: $(if $(TOOL_READY),$(BUILD)/nccl-redirect)

docs: tool ## Write the tool's tables into its manual pages and completions
	@scripts/make-docs $(BUILD)/nccl-redirect

$(BUILD)/demo/%: examples/%.c $(BUILD)/libnccl_redirect.so
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -Iinclude $< -o $@ $(BUILD)/libnccl_redirect.so -ldl

demo: all $(BUILD)/demo/all_reduce $(BUILD)/hostmem/plain/libnccl.so.2 build/nccl/cu12-2.21.5/lib/libnccl.so.2 ## Run one unmodified program under every NCCL of this machine
	@scripts/demo $(BUILD)

# ---- tests ----

# Real NCCLs of the tests: the oldest with all of today's core, a middle one, the newest.
WHEELS := cu11-2.14.3 cu12-2.21.5 cu12-2.32.3
WHEEL_FILES := $(patsubst %,build/nccl/%/lib/libnccl.so.2,$(WHEELS))
TESTS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/test_*.c))
TEST_SCRIPTS := $(filter-out %.c,$(wildcard tests/test_*))
PROGRAMS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/programs/*.c))
PROGRAMS += $(if $(shell command -v $(CXX)),$(BUILD)/tests/programs/ask_cxx) $(BUILD)/demo/per_communicator
LIBRARIES := $(patsubst %.c,$(BUILD)/%.so,$(wildcard tests/libraries/*.c))
TEST_CFLAGS := -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Itests/support -Ibuild/packages/usr/include -MMD -MP -pthread

# Programs and libraries called linked_* are linked with NCCL: the shim has its names and its SONAME, and serves as the
# link library. LINKS is what one of them needs besides.
$(BUILD)/tests/programs/linked_%: tests/programs/linked_%.c $(BUILD)/libnccl_redirect.so
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(TEST_CFLAGS) $(CFLAGS) $< -o $@ $(LINKS) $(BUILD)/libnccl_redirect.so

$(BUILD)/tests/programs/%: tests/programs/%.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(TEST_CFLAGS) $(CFLAGS) $< -o $@ $(LINKS) -ldl

# These check by themselves, in ranks, what the preload makes of an older NCCL; -rdynamic: they are their own CUDA
# runtime.
$(BUILD)/tests/programs/bridge_%: private LINKS = -rdynamic -L$(PACKAGES_LIB) -Wl,-rpath,$(CURDIR)/$(PACKAGES_LIB) -lcmocka

$(BUILD)/tests/libraries/bridge_self_calls.so: private LINKS = -Wl,-z,relro -Wl,-z,now
$(BUILD)/tests/programs/linked_early_user: $(BUILD)/tests/libraries/linked_early.so
$(BUILD)/tests/programs/linked_early_user: private LINKS = -Wl,--no-as-needed $(abspath $(BUILD)/tests/libraries/linked_early.so)
$(BUILD)/tests/libraries/plugin_soname.so: private LINKS = -Wl,-soname,libnccl.so.2
$(BUILD)/tests/programs/by_path: $(BUILD)/tests/libraries/libnccl.so.stub.so
$(BUILD)/tests/programs/by_path: private LINKS = $(abspath $(BUILD)/tests/libraries/libnccl.so.stub.so)
$(BUILD)/tests/programs/linked_future: $(BUILD)/hostmem/extra/libnccl.so.2
$(BUILD)/tests/programs/linked_future: private LINKS = -Wl,-z,lazy $(BUILD)/hostmem/extra/libnccl.so.2
$(BUILD)/tests/libraries/runpath_user.so: private LINKS = -Wl,--enable-new-dtags,-rpath,'$$ORIGIN/sub'
$(BUILD)/tests/programs/linked_runpath: private LINKS = -Wl,-rpath,'$$ORIGIN/own'
$(BUILD)/tests/programs/linked_secure: private LINKS = -Wl,-rpath,$(abspath $(BUILD))/tests/as_nccl

# The header that programs include, as C++.
$(BUILD)/tests/programs/ask_cxx: tests/programs/ask.c include/nccl_redirect.h
	$(call say,CXX,$<)
	@mkdir -p $(@D)
	$(Q)$(CXX) -std=c++11 -Wall -Wextra -Wpedantic -Werror -x c++ $< -o $@ -ldl

$(BUILD)/tests/libraries/linked_%.so: tests/libraries/linked_%.c $(BUILD)/libnccl_redirect.so
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(TEST_CFLAGS) $(CFLAGS) -fPIC -shared $< -o $@ $(LINKS) $(BUILD)/libnccl_redirect.so -ldl

$(BUILD)/tests/libraries/%.so: tests/libraries/%.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(TEST_CFLAGS) $(CFLAGS) -fPIC -shared $< -o $@ $(LINKS) -ldl

$(BUILD)/tests/test_cli_%: private TEST_LIBS = -lcjson

$(BUILD)/tests/test_%: tests/test_%.c $(wildcard tests/support/*.[ch]) $(BUILD)/loader.a
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(TEST_CFLAGS) -Iloader -Ishim $(CFLAGS) $< $(wildcard tests/support/*.c) $(BUILD)/loader.a -o $@ \
	    -Lbuild/packages/usr/lib/$(shell $(CC) -dumpmachine) -Wl,-rpath,$(CURDIR)/build/packages/usr/lib/$(shell $(CC) -dumpmachine) -lcmocka $(TEST_LIBS) -ldl

# The NCCL over host memory, plain and with one fault or one property each (tests/backend/hostmem.h lists the knobs).
# The last one is the whole NCCL inside a torch, as in wheels that link it statically.
HOSTMEM := $(patsubst %,$(BUILD)/hostmem/%/libnccl.so.2,plain old lacks-split lacks-core no-pnccl extra fail-init newest \
               v20403 v20804 v21304 v22403 v22703 v22806 v22902) \
           $(BUILD)/hostmem/rccl/librccl.so.1 $(BUILD)/hostmem/torch/libtorch_cuda.so
$(BUILD)/hostmem/old/%: HOSTMEM_FLAGS := -DHOSTMEM_VERSION=21803
$(BUILD)/hostmem/lacks-split/%: HOSTMEM_FLAGS := -DHOSTMEM_LACKS=ncclCommSplit
$(BUILD)/hostmem/lacks-core/%: HOSTMEM_FLAGS := -DHOSTMEM_LACKS=ncclGetUniqueId
$(BUILD)/hostmem/no-pnccl/%: HOSTMEM_FLAGS := -DHOSTMEM_NO_PNCCL -DHOSTMEM_VERSION=21403
$(BUILD)/hostmem/extra/%: HOSTMEM_FLAGS := -DHOSTMEM_EXTRA
$(BUILD)/hostmem/fail-init/%: HOSTMEM_FLAGS := -DHOSTMEM_FAIL_INIT
$(BUILD)/hostmem/newest/%: HOSTMEM_FLAGS := -DHOSTMEM_VERSION=23203
$(BUILD)/hostmem/rccl/%: HOSTMEM_FLAGS := -DHOSTMEM_RCCL -DHOSTMEM_VERSION=22806
$(BUILD)/hostmem/v%: HOSTMEM_FLAGS = -DHOSTMEM_VERSION=$(patsubst v%,%,$(notdir $(@D)))

$(HOSTMEM): $(wildcard tests/backend/*) shim/nccl_api.def
	$(call say,CC,"$(@:$(BUILD)/%=%)")
	@mkdir -p $(@D)
	$(Q)$(CC) $(filter-out -MMD -MP,$(TEST_CFLAGS)) $(CFLAGS) -fPIC -fvisibility=hidden -shared -Wl,-soname,$(@F) -Wl,-z,defs \
	    $(HOSTMEM_FLAGS) tests/backend/*.c tests/backend/*.S -o $@

build/nccl/%/lib/libnccl.so.2:
	scripts/fetch-nccl $*

# Before anything that is compiled for the tests: some of it includes cmocka.h.
test-packages:
	@scripts/setup $(TOOL_PACKAGES) libcmocka-dev libcmocka0 strace libjemalloc2 libtcmalloc-minimal4 libfakeroot

$(PROGRAMS) $(LIBRARIES) $(TESTS): | test-packages

test-parts: all $(PROGRAMS) $(LIBRARIES) $(HOSTMEM) $(WHEEL_FILES)
	@$(MAKE) --no-print-directory $(BUILD)/nccl-redirect $(TESTS)

check: test-parts ## All tests that need no GPU (fetches cmocka and real NCCLs first)
	@NCR_BUILD=$(abspath $(BUILD)) NCR_TEST_HOSTMEM=$(abspath $(BUILD))/hostmem/plain/libnccl.so.2 \
	    tests/run $(TESTS) $(TEST_SCRIPTS)

check-old-glibc: all ## The shim in a Debian with an older C library (as root: debootstrap fetches it)
	@BUILD=$(BUILD) scripts/check-old-glibc

check-aarch64: ## The shim's entry code and binding on aarch64, under qemu (fetches compiler and qemu)
	@BUILD=$(BUILD)/aarch64 scripts/check-aarch64

# The threads of tests/test_route_backends.c again, shim and program watched by ThreadSanitizer.
check-tsan: $(BUILD)/hostmem/plain/libnccl.so.2 $(BUILD)/hostmem/old/libnccl.so.2 ## Look for data races between two backends
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/tsan CFLAGS="-O1 -g -fsanitize=thread" LDFLAGS=-fsanitize=thread \
	    $(BUILD)/tsan/libnccl_redirect.so $(BUILD)/tsan/tests/programs/linked_route
	@LD_PRELOAD=$(BUILD)/tsan/libnccl_redirect.so NCCL_REDIRECT=$(abspath $(BUILD))/hostmem/plain/libnccl.so.2 \
	    $(BUILD)/tsan/tests/programs/linked_route threads $(abspath $(BUILD))/hostmem/old/libnccl.so.2

check-abi: all ## Compare the table of functions with real NCCLs, the newest published one too
	@scripts/check-abi --shim $(BUILD)/libnccl_redirect.so --shim $(BUILD)/librccl_redirect.so

check-containers: all $(WHEEL_FILES) ## The container entrypoint in root file systems of other distributions (as root, by debootstrap)
	@mkdir -p $(BUILD)/tests
	@NCR_BUILD=$(abspath $(BUILD)) NCR_TEST_LIMIT=600 tests/run tests/containers/*

check-launchers: test-parts ## Two ranks under mpirun, srun and torchrun (fetches Open MPI and Slurm; torch by check-torch)
	@NCR_BUILD=$(abspath $(BUILD)) tests/run tests/test_mpirun tests/test_lost_preload tests/launchers/*

check-gpu: all ## The tests that need GPUs; STEPS="c graph" for some (tests/gpu/run --list)
	@NCR_BUILD=$(abspath $(BUILD)) tests/gpu/run $(STEPS)

check-torch: all ## A real torch without a GPU: discovery, an older NCCL under it, libtorch (installs torch into build/torch)
	@NCR_BUILD=$(abspath $(BUILD)) tests/torch/run

matrix: all ## Programs of many NCCL versions on the real libraries of all of them: docs/versions.md (downloads 3 GB)
	@tests/matrix/run $(BUILD)

# ---- benchmark ----

BENCH := $(BUILD)/bench/spawn $(BUILD)/bench/bare $(BUILD)/bench/calls $(BUILD)/bench/route $(BUILD)/bench/empty.so

$(BUILD)/bench/empty.so: BENCH_FLAGS := -shared -fPIC
$(BUILD)/bench/bare: BENCH_FLAGS := -ldl
$(BUILD)/bench/calls $(BUILD)/bench/route: BENCH_FLAGS := $(BUILD)/libnccl_redirect.so
$(BENCH): $(BUILD)/bench/%: all
	$(call say,CC,bench/$(basename $*).c)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Ishim $(CFLAGS) bench/$(basename $*).c -o $@ $(BENCH_FLAGS)

bench: $(BENCH) $(BUILD)/hostmem/plain/libnccl.so.2 $(BUILD)/hostmem/old/libnccl.so.2 $(lastword $(WHEEL_FILES)) ## Measure the cost of a call, of a process and of binding against direct use
	@scripts/setup valgrind strace binutils
	@bench/run $(BUILD) $(lastword $(WHEEL_FILES))

# ---- install ----

PREFIX ?= /usr/local
OWN := lib/nccl-redirect
BOTH := nccl_redirect.so rccl_redirect.so
CPU := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))

# What 32-bit children of a job get: a library with nothing in it. Where the compiler cannot make one they print a line.
$(BUILD)/stub-32.so:
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -m32 -nostdlib -shared -Wl,-z,noexecstack -x c /dev/null -o $@ || echo "install: no 32-bit stub (gcc -m32 failed)"

# The loader replaces $LIB by lib/TRIPLET on Debian and Ubuntu, by lib64 (32-bit: lib) on Red Hat and SUSE, by lib
# (32-bit: lib32) on Arch and NixOS. `lib` alone is ambiguous: it is for 32-bit programs if the loader here says lib64
# for 64-bit ones.
SAYS_LIB64 = $(shell t=$$(mktemp -d) && ln -s $(abspath $(BUILD)) $$t/lib64 && \
                 LD_PRELOAD=$$t/\$$LIB/libnccl_redirect.so env 2>&1 >/dev/null | grep -q . || echo yes; rm -r $$t)
STUB = $(if $(filter x86_64,$(CPU)),$(shell ls $(BUILD)/stub-32.so 2>/dev/null))
LIB_FOLDERS = $(foreach l,$(BOTH),link:../../$l:$(OWN)/lib/$(CPU)-linux-gnu/lib$l link:../$l:$(OWN)/lib64/lib$l \
                  link:../$(if $(and $(STUB),$(SAYS_LIB64)),stub-32.so,$l):$(OWN)/lib/lib$l \
                  $(if $(STUB),link:../../stub-32.so:$(OWN)/lib/i386-linux-gnu/lib$l link:../stub-32.so:$(OWN)/lib32/lib$l))
TO_INSTALL = $(foreach l,$(BOTH),644:$(BUILD)/$l:$(OWN)/$l link:$l:$(OWN)/lib$l) \
             $(addprefix 644:,$(addsuffix :$(OWN)/stub-32.so,$(STUB))) $(LIB_FOLDERS) \
             755:scripts/container-entrypoint:$(OWN)/container-entrypoint \
             $(addprefix 755:,$(addsuffix :bin/nccl-redirect,$(shell ls $(BUILD)/nccl-redirect 2>/dev/null))) \
             $(foreach h,$(wildcard include/*.h),644:$h:include/$(notdir $h)) \
             $(foreach m,$(wildcard docs/man/*.1 docs/man/*.7),644:$m:share/man/man$(patsubst .%,%,$(suffix $m))/$(notdir $m)) \
             644:cli/completion/nccl-redirect.bash:share/bash-completion/completions/nccl-redirect \
             644:cli/completion/_nccl-redirect:share/zsh/site-functions/_nccl-redirect \
             644:$(BUILD)/nccl-redirect.pc:share/pkgconfig/nccl-redirect.pc

$(BUILD)/nccl-redirect.pc: scripts/nccl-redirect.pc.in FORCE
	@sed -e 's|@PREFIX@|$(PREFIX)|' -e "s|@VERSION@|$$(awk -F '"' '/define NCR_VERSION / {print $$2}' loader/loader.h)|" $< >$@

install: all $(if $(filter x86_64,$(CPU)),$(BUILD)/stub-32.so) $(BUILD)/nccl-redirect.pc ## Install under DESTDIR and PREFIX (/usr/local)
	@scripts/install "$(DESTDIR)$(PREFIX)" $(TO_INSTALL)
	@preload=$$($(if $(DESTDIR),false,env -u LD_PRELOAD $(PREFIX)/bin/nccl-redirect env --format sh) 2>/dev/null | \
	     sed -n 's/^export LD_PRELOAD=//p'); echo "installed; LD_PRELOAD=$${preload:-$(PREFIX)/$(OWN)/libnccl_redirect.so}"

uninstall: ## Remove exactly what install put there
	@scripts/install --remove "$(DESTDIR)$(PREFIX)"

# ---- the sources ----

lint: tool ## What tools can check about the sources (CHECKS="format tidy" for some)
	@scripts/setup clang-format clang-tidy cppcheck shellcheck
	@scripts/lint $(BUILD) $(CHECKS)

format: ## Bring the C sources into form
	@scripts/setup clang-format
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean: ## Remove what was built, keep what was downloaded
	rm -rf $(filter-out $(BUILD)/nccl $(BUILD)/wheels $(BUILD)/torch $(BUILD)/roots,$(wildcard $(BUILD)/*))

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

-include $(TOOL_OBJECTS:.o=.d) $(LOADER:.o=.d) $(SHIM:.o=.d) $(SHIM_RCCL:.o=.d) $(TESTS:%=%.d) $(PROGRAMS:%=%.d) $(LIBRARIES:.so=.d)
