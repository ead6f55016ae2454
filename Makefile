# `make help` says what there is. Real containers need root: run these as root or with sudo.

FLEET := target/release/fleet
DEMO := examples/quickstart.yaml
# What the tests call, each with the Debian package that has it.
TOOLS := cc:gcc busybox:busybox-static setpriv:util-linux ssh:openssh-client mmdebstrap:mmdebstrap xz:xz-utils zstd:zstd ip:iproute2 \
	ping:iputils-ping nft:nftables mksquashfs:squashfs-tools openssl:openssl tar:tar \
	docker-registry:docker-registry skopeo:skopeo umoci:umoci gpg:gpg gpgv:gpgv strace:strace
# What the slower tests call beside them.
SLOW_TOOLS := arch-test:arch-test lxcfs:lxcfs ansible:ansible-core
# What tests/vm/run.sh calls, and the releases of Debian whose kernels the tests run on.
VM_TOOLS := qemu-system-x86_64:qemu-system-x86 mmdebstrap:mmdebstrap mkfs.ext4:e2fsprogs jq:jq strip:binutils
VM_SUITE ?= bookworm trixie
# What tests/bench/import.sh calls.
BENCH_TOOLS := mmdebstrap:mmdebstrap tar:tar xz:xz-utils zstd:zstd gzip:gzip mksquashfs:squashfs-tools mkfs.ext4:e2fsprogs
# How many cases `make fuzz` tries with each parser, and the seconds after which it gives up.
FUZZ_CASES ?= 10000
FUZZ_SECONDS ?= 900

# $(call install,PACKAGES): says what is missing, and installs it where apt-get can.
define install
if [ -n "$(1)" ]; then \
  echo "missing Debian packages:" $(1); \
  command -v apt-get >/dev/null || { echo 'install them, or what has their programs, first' >&2; exit 1; }; \
  export DEBIAN_FRONTEND=noninteractive; \
  apt-get install -y -qq --no-install-recommends $(1) >/dev/null 2>&1 \
    || { apt-get update -qq && apt-get install -y -qq --no-install-recommends $(1) >/dev/null; }; \
fi
endef

# $(call need,TOOLS): the same for what is not there of a list of programs with their packages.
define need
missing=; for tool in $(1); do \
  command -v "$${tool%%:*}" >/dev/null || missing="$$missing $${tool#*:}"; \
done; \
$(call install,$$missing)
endef

.PHONY: help build demo demo-clean test test-v2 test-all fuzz bench need-root need-cargo need-cc need-busybox need-packages

help:
	@echo 'make build       build the program: $(FLEET)'
	@echo 'make demo        ten running containers, shown around (root)'
	@echo 'make demo-clean  remove all that the demo made (root)'
	@echo 'make test        format, lints, and all tests with real containers (root)'
	@echo 'make test-all    the same and test-v2, with the tests that take minutes (root)'
	@echo 'make test-v2     the conformance suites beside systemd on cgroup v2, in virtual machines: VM_SUITE="$(VM_SUITE)" (root)'
	@echo 'make fuzz        parsers of hostile text with FUZZ_CASES=$(FUZZ_CASES) cases each'
	@echo 'make bench       apply of ten containers against scripted LXC (root, package lxc), imports of images against tar, what networks take'

build: need-cargo need-cc
	cargo build --release

demo: need-root need-busybox build
	@echo '--- ten containers from a static busybox:'
	$(FLEET) apply -y $(DEMO)
	@echo '--- what they do:'
	$(FLEET) status $(DEMO)
	@echo '--- agent-1 reaches agent-2:'
	$(FLEET) exec agent-1 -- ping -c1 -W2 10.42.0.12
	@echo '--- a command in each:'
	$(FLEET) -f $(DEMO) exec --all -- hostname
	@echo '--- applied again, there is nothing to do:'
	$(FLEET) apply -y $(DEMO)
	@echo
	@echo 'The containers keep running. To go on:'
	@echo '  sudo $(FLEET) exec agent-1 -- sh                  a shell in one'
	@echo '  sudo $(FLEET) -f $(DEMO) stop agent-3; sudo $(FLEET) apply $(DEMO)'
	@echo '  change memory: in $(DEMO) and apply: the limits change while they run'
	@echo '  make demo-clean                                   removes everything'

demo-clean: need-root build
	$(FLEET) destroy -y $(DEMO)
	$(FLEET) image prune
	@# Where no image and no container is left, the rest is fleet's own and serves nobody, but for LXC's directory with LXC.
	@if [ -z "$$(find /var/lib/fleet/images /var/lib/fleet/fleets /run/fleet/containers -mindepth 1 -type d 2>/dev/null)" ]; \
	then rm -rf /var/lib/fleet /run/fleet; [ -e /etc/lxc ] || rmdir /var/lib/lxc 2>/dev/null || true; fi
	@echo 'Nothing of the demo is left.'

# The tests run where all mounts are shared, as systemd has it and others do not.
test: need-root need-cargo need-packages
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	unshare --mount --propagation shared cargo test --no-fail-fast

test-all: test test-v2 fuzz
	@$(call need,$(SLOW_TOOLS))
	unshare --mount --propagation shared cargo test --no-fail-fast -- --ignored --nocapture

# Parsers of what guests and servers write, and the laws of planning.
fuzz: need-cargo
	PROPTEST_CASES=$(FUZZ_CASES) timeout $(FUZZ_SECONDS) cargo test --lib -- fuzz laws

test-v2: need-root need-cargo need-cc
	@$(call need,$(VM_TOOLS))
	for suite in $(VM_SUITE); do tests/vm/run.sh $$suite || exit; done

bench: need-root build
	tests/bench/start.sh
	@$(call need,$(BENCH_TOOLS))
	tests/bench/import.sh
	tests/bench/network.sh

need-root:
	@[ "$$(id -u)" = 0 ] || { echo 'real containers need root: run it with sudo' >&2; exit 1; }

need-cargo:
	@command -v cargo >/dev/null || { echo 'cargo is missing: install Rust 1.95 or newer, see https://rustup.rs' >&2; exit 1; }

need-busybox:
	@missing=; command -v busybox >/dev/null || missing=busybox-static; \
	$(call install,$$missing)

need-cc:
	@missing=; command -v cc >/dev/null || missing="gcc libc6-dev"; \
	$(call install,$$missing)

# Tests fail without their tools, so what is missing is installed where apt-get can.
need-packages:
	@$(call need,$(TOOLS))
