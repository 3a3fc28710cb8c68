# Two commands do everything: `make run` to try it, `make test` to test it.

.PHONY: run test languages check optimized bench calls streams secure soak fuzz target

# Builds the proxy and serves a demo: three origins of its own behind the built-in plugins. Not as a
# release, which takes three times as long to build.
run: target
	cargo run --profile quick --locked -- demo

# Every test, and whether what is fuzzed compiles. nginx, memcached, the load generators, a browser and an editor's Tombi
# are what some of them drive, and plugins are built in other languages than Rust, but for those of LINKSPAN_TESTS_WITHOUT.
# What the status page looks like is then in target/tmp/screenshots, and what strangers' components cost in
# target/tmp/strangers.md.
export LINKSPAN_TESTS_WITHOUT ?= go
comma = ,
test: target
	tools/need.sh nginx haproxy memcached curl git openssl pebble ab wrk python3 chromium systemd-analyze nghttp h2load
	tools/tombi.sh
	tools/grpc.sh
	tools/languages.sh rust $(filter-out $(subst $(comma), ,$(LINKSPAN_TESTS_WITHOUT)),c js python go)
	cargo test --workspace --locked
	cargo check --manifest-path fuzz/Cargo.toml --no-default-features --locked --target-dir "$${CARGO_TARGET_DIR:-target}"

# Every kind of plugin in every language, those too that take long to compile, and how long each took.
languages: target
	tools/languages.sh rust $(filter-out $(subst $(comma), ,$(LINKSPAN_TESTS_WITHOUT)),c js python go)
	cargo test --locked -p linkspan --test e2e languages:: -- --include-ignored --nocapture --test-threads=1

# What has to hold besides the tests.
check: target
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps --locked
	cargo deny check bans licenses sources

# The program as fast as it gets, target/optimized/linkspan: compiled by what it was seen to do. Twenty minutes.
optimized: target
	tools/need.sh nginx memcached wrk h2load openssl python3
	tools/optimized.sh

# What requests cost beside every other proxy that is here or can be fetched, and how that grows: less than half an hour on
# two quiet cores, after what it takes to build. Writes bench/RESULTS.md. OPTIONS are those of bench/bench.py, such as
# `--only get,rules --rounds 2`.
BESIDE = nginx-lua nginx-stream haproxy lighttpd traffic_server
bench: optimized
	@for each in $(BESIDE); do tools/need.sh $$each || echo "without $$each" >&2; done
	python3 bench/bench.py --program "$${CARGO_TARGET_DIR:-target}/optimized/linkspan" $(OPTIONS)

# What a call costs, with the plugins that come along and with those in other languages: some minutes on two quiet cores,
# after what it takes to build.
calls: target
	tools/need.sh nginx memcached wrk h2load openssl python3
	tools/optimized.sh calls
	tools/languages.sh c js python
	python3 bench/languages.py --program "$${CARGO_TARGET_DIR:-target}/optimized/linkspan" $(OPTIONS)
	"$${CARGO_TARGET_DIR:-target}/optimized/calls" --bench

# What relaying TCP costs, beside HAProxy and nginx, and twenty takeovers under load; some minutes on two quiet cores.
streams: target
	tools/need.sh nginx nginx-stream haproxy strace python3
	cargo build --release --locked
	python3 bench/streams.py --strace
	python3 bench/takeover.py

# What TLS and HTTP/2 cost, beside nginx and HAProxy, and what floods of HTTP/2 do; some minutes on two quiet cores.
secure: target
	tools/need.sh nginx haproxy wrk h2load openssl python3
	cargo build --release --locked
	python3 bench/secure.py
	python3 bench/floods.py

# A thousand versions of a plugin under load, and plugins that loop beside innocents: a quarter of an hour, in which
# times and memory are judged, so leave the machine alone. With fewer SWAPS it says that it is short, and judges neither.
SWAPS = 1000
soak: target
	cargo build --release --locked
	SWAPS=$(SWAPS) LINKSPAN_PROGRAM=$(CURDIR)/target/release/linkspan \
	  cargo test --locked --profile quick -p linkspan --test e2e soak::judged:: -- \
	  --ignored --nocapture --test-threads=1

# Looks for bytes of which a promise does not hold, for SECONDS per target. Needs a C++ compiler and
# `cargo install --locked cargo-fuzz`; without a nightly toolchain, there is no sanitizer.
SECONDS = 600
fuzz: target
	cd fuzz && for name in $$(cargo fuzz list); do \
	  RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none $$name corpus/$$name seeds/$$name -- -max_total_time=$(SECONDS) || exit; \
	done

# Plugins are compiled for wasm32-wasip2.
target:
	@tools/wasm-target.sh
