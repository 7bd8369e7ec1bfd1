# Targets for people and for CI. `make run` and `make test` are all that most need.

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)
BUILD   := go build -ldflags "$(LDFLAGS)"
# One way to compile for all that is built, checked and tested, so that it is
# done once; only the race detector needs cgo.
export CGO_ENABLED := 0
export GOFLAGS := -buildvcs=false -trimpath

.PHONY: run build minimal cross test setup lint unit unit-386 fuzz e2e bench clean
.PHONY: install uninstall package package-test image test-device test-powercut test-mutants

run: build
	bin/berth serve

build:
	$(BUILD) -o bin/berth .

# Without the optional features: S3, DynamoDB and the dedupe index.
minimal:
	$(BUILD) -tags minimal -o bin/berth-minimal .

cross: build/berth-linux-amd64 build/berth-linux-arm64 build/berth-linux-armv7 build/berth-linux-armv6 build/berth-linux-riscv64 build/berth-linux-386 unit-386

# go build knows best whether anything is to do.
.PHONY: build/berth-linux-amd64 build/berth-linux-arm64 build/berth-linux-armv7 build/berth-linux-armv6 build/berth-linux-riscv64 build/berth-linux-386
build/berth-linux-amd64:   ; GOOS=linux GOARCH=amd64 $(BUILD) -o $@ .
build/berth-linux-arm64:   ; GOOS=linux GOARCH=arm64 $(BUILD) -o $@ .
build/berth-linux-armv7:   build/go32.mod ; GOOS=linux GOARCH=arm GOARM=7 $(BUILD) $(GO32) -o $@ .
build/berth-linux-armv6:   build/go32.mod ; GOOS=linux GOARCH=arm GOARM=6 $(BUILD) $(GO32) -o $@ .
build/berth-linux-riscv64: ; GOOS=linux GOARCH=riscv64 $(BUILD) -o $@ .
build/berth-linux-386:     build/go32.mod ; GOOS=linux GOARCH=386 $(BUILD) $(GO32) -o $@ .

# 32-bit builds have a patched copy of the memory allocator that Badger uses.
# Without it they run, too, but without the dedupe index.
GO32 := -modfile=$(CURDIR)/build/go32.mod
build/go32.mod: go.mod go.sum scripts/badger32/badger32.sh
	scripts/badger32/badger32.sh

# Everything that CI runs. The parts run one after the other, in this order.
test:
	$(MAKE) setup
	$(MAKE) lint
	$(MAKE) unit
	$(MAKE) unit-386
	$(MAKE) e2e

# What the tests need of the machine: Debian packages and clients.
setup:
	scripts/setup.sh
	scripts/e2e/install.sh

lint:
	scripts/lint.sh

# For one package. It is there to end what hangs, not what is slow.
TEST := go test -timeout 30m

# The seeds of the fuzz targets are among the unit tests.
unit: export CGO_ENABLED = 1
unit:
	$(TEST) -race ./...
	cd scripts/bench && $(TEST) -race ./...
	cd packaging && $(TEST) -race ./...

# As 32-bit binaries are built; and the one thing that is different without.
unit-386: build/go32.mod
	GOARCH=386 GOFLAGS="$(GOFLAGS) $(GO32)" $(TEST) ./...
	GOARCH=386 $(TEST) -run '^TestUnsoundAllocator$$' ./cache

# Every fuzz target for FUZZTIME.
FUZZTIME ?= 10s
fuzz:
	scripts/fuzz.sh $(FUZZTIME)

# go test cannot see that the binary has changed: its cache is not used. To
# mount needs root: for others sudo runs the tests that do.
E2E := $(TEST) -count=1
e2e: build
	cd scripts/e2e && export E2E_BINARY=$(CURDIR)/bin/berth; \
	if [ "$$(id -u)" = 0 ]; then $(E2E) ./...; \
	else $(E2E) $$(go list ./... | grep -v '/places$$') && $(E2E) -exec 'sudo -E' ./places; fi
	$(MAKE) e2e-s3

# What clients see of a berth whose repositories lie in a bucket of versitygw's:
# the same. In the last run nothing is shared between repositories, so that each
# is a layout there, which other tools read.
.PHONY: e2e-s3
e2e-s3: build
	cd scripts/e2e && export E2E_BINARY=$(CURDIR)/bin/berth; \
	E2E_STORE=s3 $(E2E) ./spec ./clients && E2E_STORE=s3-plain $(E2E) -run 'Umoci|ReadsWhatBerthWrote|Buildah|Helm' ./clients

# The same on MinIO, whose build takes some minutes: not a part of CI.
.PHONY: test-s3
test-s3: build
	bash -c '. scripts/lib.sh; want_module minio github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c'
	cd scripts/e2e && export E2E_BINARY=$(CURDIR)/bin/berth E2E_S3=minio; \
	$(E2E) ./s3 && E2E_STORE=s3 $(E2E) ./spec

bench: build
	scripts/bench/run

# On this system, from here: PREFIX and DESTDIR as usual.
install: build
	scripts/install.sh
uninstall:
	scripts/install.sh uninstall

# Packages for everything that Linux runs on here, in dist/; PACKAGES=deb:amd64
# or PACKAGES=ipk: makes those alone.
PACKAGES ?=
TARGETS := $(addprefix build/berth-linux-,amd64 arm64 armv7 armv6 riscv64)
package: build $(TARGETS)
	packaging/build $(PACKAGES)

# The packages of this machine, taken through their whole life. As root.
HERE := $(shell go env GOARCH)
package-test: build build/berth-linux-$(HERE)
	packaging/build deb:$(HERE) rpm:$(HERE) apk:$(HERE) ipk:$(HERE)
	packaging/test

# An OCI image layout of berth itself, in dist/image.
image: build $(TARGETS)
	packaging/build-image

# The packages on emulated machines: docs/DEVICE.md. As root.
test-device: build build/berth-linux-$(or $(ARCH),arm64) build/berth-linux-armv7
	scripts/device/test-device

# Power cuts of an emulated machine, N of them: docs/DEVICE.md. As root or not.
test-powercut: build/berth-linux-$(or $(ARCH),arm64)
	scripts/device/test-powercut

# That the same finds what is wrong with a berth that forgets to sync.
test-mutants:
	scripts/device/test-mutants

clean:
	rm -rf bin build dist
