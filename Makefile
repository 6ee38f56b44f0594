# SPDX-License-Identifier: GPL-3.0-or-later
#
# One make instance: every directory's Kbuild is included once, so dependencies across directories
# are exact. Kbuild grammar and house rules: doc/hacking.md. "make help" lists the targets.
#
#   O=DIR     output tree (default build/default; the source tree is never written)
#   V=1 V=2   show commands; say why something is rebuilt
#   W=1       more warnings        SAN=address,undefined   sanitizers
#   STATIC=1  static programs      CC=, AR=, PKG_CONFIG=, CFLAGS=, LDFLAGS=  as usual
#   CCACHE=   compile without ccache, which is used where it is installed
#   LTO=1     optimise over all files of init's programs when they are linked (gcc); with STATIC=1,
#             as packages are built, PID 1 is 3 KB smaller for it
#   M="a b"   only these modules   T=name  only this test, this fuzz entry

MAKEFLAGS += -rR --no-print-directory
.DEFAULT_GOAL := all
.SUFFIXES:
.DELETE_ON_ERROR:

ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin AR),default)
AR := ar
endif
CC ?= gcc
AR ?= ar
PKG_CONFIG ?= pkg-config
V ?= 0
O ?= build/$(if $(SAN),san,default)
override O := $(patsubst %/,%,$(O))
VERSION ?= 0.1.0

# ---- Kbuild files -------------------------------------------------------------------------------

# Lowest layer last: this is also the link order.
all-modules := image system bootloader services init store lib
M ?= $(all-modules) tests .
dirs := $(patsubst %/Kbuild,%,$(wildcard $(addsuffix /Kbuild,$(filter $(M),$(all-modules) tests .))))

kbuild-lists := uses-y obj-y prog-y test-y fuzz-y pkg-y gen-y man-y ccflags-y

-include $(O)/config.mk
# Stage 1 finds file systems with libblkid; n leaves it out.
CONFIG_PROBE ?= y

# Read DIR/Kbuild and keep its variables as DIR.name; objects get the directory in front, ../OBJECT is the one of another.
define load
$(foreach v,$(kbuild-lists),$(eval $(v) :=))
$(eval include $(1)/Kbuild)
$(foreach v,uses-y prog-y test-y fuzz-y pkg-y man-y ccflags-y,$(eval $(1).$(v) := $($(v))))
$(eval $(1).obj-y := $(patsubst ./%,%,$(addprefix $(1)/,$(obj-y))))
$(eval $(1).gen-y := $(patsubst ./%,%,$(addprefix $(1)/,$(gen-y))))
$(foreach p,$(prog-y),$(eval $(1).prog.$(p) := $(patsubst ./%,%,$(subst $(1)/../,,$(addprefix $(1)/,$($(p)-y)))))$(eval $(p)-y :=))
$(foreach f,$(filter CFLAGS_%.o,$(.VARIABLES)),$(if $($(f)),$(eval $(1).$(f) := $($(f)))$(eval $(f) :=)))
$(foreach g,$(gen-y),$(eval gen.$(patsubst ./%,%,$(1)/$(g)) = $(value cmd_gen_$(g))))
endef
$(foreach d,$(patsubst %/Kbuild,%,$(wildcard $(addsuffix /Kbuild,$(all-modules)))) $(filter-out $(all-modules),$(dirs)),$(call load,$(d)))

# $(call closure,DIR): DIR and everything below it that it uses. What M names is linked with the
# archives of modules that it does not name.
closure = $(sort $(1) $(foreach u,$($(1).uses-y),$(call closure,$(u))))
# Recipes are read from the source tree, where there is one; of all objects this one alone knows where the tree is.
system.CFLAGS_eval-host.o += $(if $(STATIC),,-DCAIRN_SOURCE_DIR='"$(CURDIR)"')
modules := $(filter $(foreach d,$(dirs),$(call closure,$(d))),$(all-modules))
archive = $(O)/$(1)/lib$(1).a
closure-archives = $(foreach m,$(filter $(call closure,$(1)),$(modules)),$(call archive,$(m)))
closure-pkgs = $(foreach m,$(filter $(call closure,$(1)),$(modules)) $(filter-out $(modules),$(1)),$($(m).pkg-y))
uniq = $(if $(1),$(firstword $(1)) $(call uniq,$(filter-out $(firstword $(1)),$(1))))

# ---- Flags --------------------------------------------------------------------------------------

CFLAGS ?= $(if $(SAN),-O1 -g1,-O2 -g)
warnings := -Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes -Wold-style-definition \
	-Wvla -Wundef -Wno-unused-parameter -Wno-missing-field-initializers \
	$(if $(filter 1,$(W)),-Wshadow -Wconversion -Wno-error)
cc-flags = -std=gnu11 -D_GNU_SOURCE -I. -I$(O) -include lib/banned.h $(warnings) \
	-ffile-prefix-map=$(CURDIR)/= -ffunction-sections -fdata-sections -fno-common \
	-fno-strict-aliasing $(if $(STATIC),-fno-pie -fno-asynchronous-unwind-tables) \
	$(if $(LTO),$(if $(filter $(lto-dirs),$(kdir)),-flto -ffat-lto-objects -malign-data=abi)) \
	$(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer) \
	-DCAIRN_VERSION='"$(VERSION)"' $(CPPFLAGS) $(CFLAGS)
# What a static program on a small machine has no use for: pages between code and data, an identity,
# padding between sections of different alignment.
static-ld-flags = -static -no-pie -Wl,-z,noseparate-code -Wl,-z,norelro -Wl,-z,common-page-size=64 \
	-Wl,--build-id=none -Wl,--sort-section=alignment
# With LTO=1 objects of these have both: code, for programs that are linked without it, which takes half a minute less
# with cairn; and what code is made of at the link, so what shapes it is said there again.
lto-dirs := init lib
lto-ld-flags = $(if $(filter init,$(kdir)),-flto -flto-partition=one -fipa-pta $(if $(STATIC),-fno-asynchronous-unwind-tables),-fno-lto)
ld-flags = $(CFLAGS) -Wl,--gc-sections -Wl,--as-needed $(if $(STATIC),$(static-ld-flags)) $(if $(LTO),$(lto-ld-flags)) \
	$(if $(SAN),-fsanitize=$(SAN)) $(LDFLAGS)

# ---- Running commands ---------------------------------------------------------------------------

# A target's command is kept in TARGET.cmd; a changed command rebuilds the target (if_changed), an
# unchanged one prints nothing.
q := $(if $(filter 1 2,$(V)),,@)
hash := \#
comma := ,
empty :=
space := $(empty) $(empty)
squote := '
escape = $(subst $(squote),'\$(squote)',$(1))
newer = $(filter-out FORCE,$?)
differs = $(if $(filter-out $(subst $(space),_,$(strip $(saved.$@))),$(subst $(space),_,$(strip $(cmd_$(1))))),y)
why = $(if $(filter 2,$(V)), - $(if $(wildcard $@),$(if $(newer),newer: $(newer),command changed),missing))
mark-make = $(subst $(hash),$$(hash),$(subst $$,$$$$,$(strip $(cmd_$(1)))))
define run_command
@mkdir -p $(@D)
@$(if $(filter 1,$(V))$(findstring s,$(filter-out --%,$(firstword -$(MAKEFLAGS)))),:,printf '  %-7s %s%s\n' '$(1)' '$(patsubst $(O)/%,%,$@)' '$(why)')
$(q)$(cmd_$(1))
@printf '%s\n' 'saved.$@ := $(call escape,$(call mark-make,$(1)))' >$@.cmd
endef
if_changed = $(if $(newer)$(differs)$(if $(wildcard $@),,y),$(run_command),@:)

.PHONY: FORCE
FORCE:

# Compilations that ccache has seen are taken from it, in whatever directory the tree is; CCACHE= does without.
ifeq ($(origin CCACHE),undefined)
CCACHE := $(if $(shell command -v ccache),ccache)
endif
export CCACHE_BASEDIR := $(CURDIR)
export CCACHE_NOHASHDIR := 1

# ---- External libraries: flags as response files, asked once ------------------------------------

# "a|b" names alternatives; the first that pkg-config knows is taken.
pkg-file = $(O)/pkg/$(subst |,-or-,$(1))
pkg-probe = for p in $(subst |, ,$(1)); do $(PKG_CONFIG) --exists $$p && break; done
cmd_PKG = $(call pkg-probe,$(pkg)); $(PKG_CONFIG) $(if $(STATIC),--static) --cflags $$p >$@.cflags && \
	$(PKG_CONFIG) $(if $(STATIC),--static) --libs $$p >$@.libs && touch $@ || \
	{ echo "library $(pkg) is missing: run 'make deps'" >&2; exit 1; }

all-pkgs := $(sort $(foreach d,$(dirs) $(modules),$($(d).pkg-y)))
define pkg-rule
$(call pkg-file,$(1)): pkg := $(1)
$(call pkg-file,$(1)): FORCE ; $$(call if_changed,PKG)
targets += $(call pkg-file,$(1))
endef
$(foreach p,$(all-pkgs),$(eval $(call pkg-rule,$(p))))

# ---- Objects, archives, programs, tests ---------------------------------------------------------

cmd_CC = $(CCACHE) $(CC) $(cc-flags) $($(kdir).ccflags-y) $($(kdir).CFLAGS_$(notdir $@)) \
	$(foreach p,$($(kdir).pkg-y),@$(call pkg-file,$(p)).cflags) -MMD -MP -MF $@.d -c -o $@ $(src)
cmd_AR = rm -f $@ && $(AR) rcsD $@ $(filter %.o,$^)
cmd_LD = $(CC) $(ld-flags) -o $@ $(filter %.o,$^) $(filter %.a,$^) \
	$(foreach p,$(call uniq,$(call closure-pkgs,$(kdir))),@$(call pkg-file,$(p)).libs) $(LDLIBS)
cmd_GEN = $(gen.$(patsubst $(O)/%,%,$@))

# $(1) = directory, $(2) = object relative to the source root
define obj-rule
$(O)/$(2): kdir := $(1)
$(O)/$(2): src := $(2:.o=.c)
$(O)/$(2): $(2:.o=.c) $(foreach p,$($(1).pkg-y),$(call pkg-file,$(p))) FORCE $(if $($(1).gen-y),| $(addprefix $(O)/,$($(1).gen-y)))
	$$(call if_changed,CC)
$(2): $(O)/$(2)
.PHONY: $(2)
targets += $(O)/$(2)
objects += $(O)/$(2)
endef

# $(1) = directory, $(2) = program output, $(3) = its objects
define prog-rule
$(foreach o,$(filter-out $(objects:$(O)/%=%),$(3)),$(eval $(call obj-rule,$(1),$(o))))
$(O)/$(2): kdir := $(1)
$(O)/$(2): $(addprefix $(O)/,$(3)) $(call closure-archives,$(1)) $(foreach p,$(call closure-pkgs,$(1)),$(call pkg-file,$(p))) FORCE
	$$(call if_changed,LD)
targets += $(O)/$(2)
endef

define object-rules
$(foreach o,$($(1).obj-y),$(eval $(call obj-rule,$(1),$(o))))
$(foreach g,$($(1).gen-y),$(eval $(call gen-rule,$(1),$(g))))
endef

define dir-rules
$(foreach p,$($(1).prog-y),$(eval $(call prog-rule,$(1),$(patsubst ./%,%,$(1)/$(p)),$($(1).prog.$(p)))))
$(foreach p,$($(1).prog-y),$(eval programs += $(O)/$(patsubst ./%,%,$(1)/$(p))))
$(foreach t,$($(1).test-y),$(eval $(call prog-rule,$(1),tests/unit/$(t),tests/unit/$(t).o tests/unit/test.o)))
$(foreach t,$($(1).test-y),$(eval unit-tests += $(O)/tests/unit/$(t)))
$(foreach f,$($(1).fuzz-y),$(eval $(call prog-rule,$(1),tests/fuzz/$(f),$(1)/$(f).o $(if $(FUZZ),,tests/fuzz/replay.o))))
$(foreach f,$($(1).fuzz-y),$(eval fuzzers += $(O)/tests/fuzz/$(f)))
$(if $(FUZZ),$(foreach f,$($(1).fuzz-y),$(eval $(O)/tests/fuzz/$(f): LDLIBS += -fsanitize=fuzzer)))
endef

define gen-rule
$(O)/$(2): kdir := $(1)
$(O)/$(2): FORCE ; $$(call if_changed,GEN)
targets += $(O)/$(2)
endef

define archive-rule
$(call archive,$(1)): $(addprefix $(O)/,$($(1).obj-y)) FORCE
	$$(call if_changed,AR)
targets += $(call archive,$(1))
archives += $(call archive,$(1))
.PHONY: $(1)/
$(1)/: $(call archive,$(1)) $(foreach p,$($(1).prog-y),$(O)/$(1)/$(p))
endef

$(foreach m,$(modules),$(eval $(call archive-rule,$(m))))
$(foreach d,$(sort $(dirs) $(modules)),$(call object-rules,$(d)))
$(foreach d,$(dirs),$(call dir-rules,$(d)))

-include $(foreach t,$(targets),$(wildcard $(t).cmd))
-include $(foreach t,$(targets),$(wildcard $(t).d))

.PHONY: all
all: $(archives) $(programs) ## build the programs (default)

# ---- Tests --------------------------------------------------------------------------------------

tiers := unit cmd ns vm
unit-wanted = $(if $(T),$(filter %/$(T),$(unit-tests)),$(unit-tests))
run-tests = tests/run --obj $(O) --src . --unit "$(unit-wanted)" --fuzz "$(if $(T),$(filter %/$(T),$(fuzzers)),$(fuzzers))" \
	$(if $(REQUIRE),--require $(REQUIRE)) $(if $(T),--only $(T)) $(if $(J),--jobs $(J))

.PHONY: check check-unit check-cmd check-ns check-vm check-fuzz tests
tests: $(unit-tests) $(fuzzers) ## build the unit tests and the fuzz replayers

check: deps ## install what is missing, build, run every check and every test tier
	@mkdir -p $(O)/test-logs && date +%s >$(O)/test-logs/started
	@$(MAKE) all tests
	@$(MAKE) check-layers check-headers
	@tests/warm $(O) || echo "some builds failed; the tests will say which matter"
	@$(run-tests) --extra-times $(O)/test-logs/warm.time $(tiers)

check-unit: $(unit-wanted) $(if $(T),,$(fuzzers)) ## unit tests (T=t_name: one of them)
	@$(run-tests) unit
check-cmd: all ## tests of the commands, in scratch directories
	@$(run-tests) cmd
check-ns: all ## tests in namespaces (PID 1 without a VM, the sandbox)
	@$(run-tests) ns
check-vm: all ## tests that boot a virtual machine
	@$(run-tests) vm
check-fuzz: $(fuzzers) ## replay the fuzz corpora
	@tests/run --obj $(O) --src . --fuzz "$(fuzzers)" unit

# With libFuzzer, in an output tree of its own: tests/fuzz/fuzzing.py calls make again with FUZZ=1.
FUZZ_SECONDS ?= 60
.PHONY: fuzz fuzz-programs
fuzz: ## fuzz with libFuzzer, FUZZ_SECONDS (60) for each entry (T=fz_name: one of them)
	@tests/fuzz/fuzzing.py $(O) $(FUZZ_SECONDS) $(if $(T),$(T),$(notdir $(fuzzers)))
fuzz-programs: $(fuzzers)

# ---- Checks of the source -----------------------------------------------------------------------

headers := $(patsubst ./%,%,$(wildcard $(foreach d,$(modules) tests/unit,$(d)/*.h $(d)/*/*.h)))
.PHONY: check-layers check-headers check-static check-fmt fmt stats
check-layers: ## includes follow the module table; Kbuild files use only the grammar
	@tests/lint/layers

cmd_HDR = echo '\#include "$(src)"' | $(CC) $(filter-out -MMD,$(cc-flags)) \
	$(foreach p,$($(patsubst %/,%,$(dir $(src))).pkg-y),@$(call pkg-file,$(p)).cflags) \
	-MMD -MP -MF $@.d -MT $@ -fsyntax-only -Wno-unused-function -x c - && touch $@
define hdr-rule
$(O)/hdr/$(1).ok: src := $(1)
$(O)/hdr/$(1).ok: $(1) $(foreach p,$($(patsubst %/,%,$(dir $(1))).pkg-y),$(call pkg-file,$(p))) FORCE ; $$(call if_changed,HDR)
targets += $(O)/hdr/$(1).ok
hdr-oks += $(O)/hdr/$(1).ok
-include $(wildcard $(O)/hdr/$(1).ok.d $(O)/hdr/$(1).ok.cmd)
endef
$(foreach h,$(headers),$(eval $(call hdr-rule,$(h))))
check-headers: $(hdr-oks) ## every header compiles alone
	@:

check-static: ## static programs have no interpreter, no NEEDED, and keep to configs/size-budget
	@tests/lint/static $(O)

c-files = $(sort $(wildcard *.c $(foreach d,$(modules) tests tests/unit tests/ns tests/fuzz,$(d)/*.c $(d)/*.h) $(foreach d,$(modules),$(d)/*/*.c $(d)/*/*.h)))
fmt: ## clang-format all C files in place
	@clang-format -i $(c-files)
check-fmt: ## fail when clang-format would change something
	@clang-format --dry-run -Werror $(c-files)
stats: ## lengths of functions: distribution and the ten longest
	@tests/lint/stats $(c-files)

compile_commands.json: $(O)/compile_commands.json ## for clangd and other tools (in the output tree)
$(O)/compile_commands.json: $(objects)
	@tests/lint/compile-commands $(CURDIR) $^ >$@

# ---- Everything else ----------------------------------------------------------------------------

.PHONY: deps run iso pictures man reference bench soak check-pins clean help defconfig savedefconfig compile_commands.json
deps: ## install the Debian packages that the build and the tests need
	@configs/deps

run: deps ## build examples/minimal.lua into a disk image and boot it on this terminal
	@$(MAKE) all
	@tests/vm/run-minimal $(O)

iso: all ## build the installation medium, OBJ/cairn-installer.iso
	@$(O)/cairn system image -t iso9660 examples/installer.lua -o $(O)/cairn-installer.iso

pictures: iso ## make the pictures of doc/manual.md anew
	@CAIRN=$(abspath $(O)/cairn) tests/vm/pictures doc/pictures $(O)/cairn-installer.iso

man: all ## manual pages of all commands, in OBJ/man
	@$(O)/cairn manual --directory $(O)/man

reference: all ## make doc/reference.md anew, from the tables that check configurations
	@$(O)/cairn system show --markdown --modules . >doc/reference.new
	@mv doc/reference.new doc/reference.md

bench: all ## measure against the budgets, print ratios
	@tests/bench/run $(O)
soak: all ## long sweeps in resumable parts; results go to doc/soak
	@tests/soak/run $(O)

check-pins: ## ask for the head of every URL that packages name
	@packages/check-pins

defconfig: ## write the default configuration to the output tree
	@mkdir -p $(O) && cp configs/default_defconfig $(O)/config.mk
savedefconfig: ## print how the configuration differs from the default
	@diff configs/default_defconfig $(O)/config.mk || :

clean: ## remove the output tree
	@case "$(O)" in ''|/|.|..) echo "refusing to remove '$(O)'" >&2; exit 1;; esac; rm -rf -- "$(O)"

help: ## this list
	@sed -n 's/^\([a-z_.-]*\):[^#]*## \(.*\)/  \1|\2/p' Makefile | sort | \
		while IFS='|' read -r t h; do printf '%-24s %s\n' "$$t" "$$h"; done
	@echo '  DIR/FILE.o, DIR/         one object; one module with its programs'
