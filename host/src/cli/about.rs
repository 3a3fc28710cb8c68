//! What the long help of each command ends with: examples, and what scripts rely on.

/// Of the program.
pub(super) const ALL: &str = "\
Examples:
  linkspan demo                   try it: three origins and a proxy, no file needed
  linkspan                        serve the configuration that is found (see Files)
  linkspan -c linkspan.toml       serve this one
  linkspan check                  find out whether it could be served
  linkspan help run               more about a command

Files:
  linkspan.toml                   the configuration; looked for here, then in
                                  $XDG_CONFIG_HOME/linkspan (~/.config/linkspan), then in
                                  /etc/linkspan
  $XDG_CACHE_HOME/linkspan        compiled components (~/.cache/linkspan)

Environment:
  NO_COLOR                        if set and not empty, nothing is coloured
  XDG_CONFIG_HOME                 where the configuration is, as above
  XDG_CACHE_HOME                  where compiled components are
  any other                       what the configuration names: ${VAR} or ${VAR:-default}

Exit codes:
  0  all is well
  1  something was refused, or failed
  2  the command line is wrong";

/// Of `run`.
pub(super) const RUN: &str = "\
Each listener prints one line with its address when it listens, so that port 0 works.

Examples:
  linkspan run                            the configuration that is found
  linkspan run -c linkspan.toml           this one
  linkspan -c linkspan.toml -p 8081       on another port; `run` need not be said
  linkspan run -h 0.0.0.0 -p 80           on all addresses
  linkspan run --takeover                 in place of the process that serves now

Signals:
  HUP        load the configuration and its plugins again; a faulty one changes nothing
  USR1       open the log files again
  TERM, INT  accept no more, wait for open requests as long as `shutdown-grace` says, and leave;
             a second one does not wait
  QUIT       the same, but wait without limit; a TERM or INT then asks for the grace

Exit codes:
  0  it was told to leave, and has left
  1  it could not start
  2  the command line is wrong";

/// Of `check`.
pub(super) const CHECK: &str = "\
Reads the configuration, compiles and loads each plugin, and has it take its `config`. Listens
nowhere, and connects to nobody; names of endpoints are looked up.

Examples:
  linkspan check
  linkspan check -c linkspan.toml
  linkspan check --deny-warnings
  linkspan check --json

Keys of --json, one object:
  file         as it was given
  errors       how many faults keep it from being served
  warnings     how many do not
  faults       a list of objects, in the order of their places; empty if nothing is wrong
Keys of a fault, where what is not known is null:
  severity     error or warning
  line, column, end_line, end_column
               from 1, columns in characters; the end is the first one after it
  start_byte, end_byte
               the same in bytes, from 0
  key          such as clusters.files.balancer
  text         what stands there
  message      what is wrong
  expected     what was expected
  help         what may have been meant
  note         more about it

Exit codes:
  0  it could be served; there may be warnings, on standard error
  1  it could not, or there are warnings and --deny-warnings; each is on standard error
  2  the command line is wrong";

/// Of `plugins`.
pub(super) const PLUGINS: &str = "\
Then come the components that are there and that nothing uses. On a terminal as a table, else as
lines whose columns are separated by a tab, after one with their names.

They are judged from their files. With [admin], the process that serves by the configuration is asked
as well, at a loopback address or a Unix socket: what it has refused or withdrawn is refused here, too.
Where nobody answers within two seconds, a line says that only the files were judged.

Examples:
  linkspan plugins
  linkspan plugins -c linkspan.toml
  linkspan plugins --json

Keys of --json, a list of objects:
  name         of the plugin; null for a component that no plugin uses
  component    the component's name
  kinds        router, balancer, rewriter, stream-router
  version      of component and configuration; null where there is no plugin
  source       built-in or file
  path         of the file; null if built-in
  size_bytes   of the component
  digest       SHA-256 of the component
  imports      the interfaces that it imports
  used_by      where the configuration names it, such as listeners.web.routers
  grants       what it is granted: stores, addresses
  needs        which grants it cannot do without
  serving      what the process that serves says: version, digest, since, and candidate, which is null
               or what it refuses: digest, reason, since; null where it was not heard
  error        why it is refused; null if it is not. What is not known then is null

Exit codes:
  0  every plugin and component is fit for use
  1  one is not, or the configuration cannot be read
  2  the command line is wrong";

/// Of `inspect`.
pub(super) const INSPECT: &str = "\
The component is compiled, as it would be before its first use, and not run.

Examples:
  linkspan inspect plugins.d/by-path.wasm
  linkspan inspect --json plugins.d/by-path.wasm

Keys of --json, one object:
  path         as it was given
  kinds        router, balancer, rewriter, stream-router
  contract     the contract that it was made for
  digest       SHA-256 of the file
  size_bytes   of the file
  compile_ms   how long compiling took
  waits        whether its calls may wait for a store
  transforms   whether it can transform bodies
  names        whether it carries the names of its functions, for the report of a trap
  imports      the interfaces that it imports
  uncalled     what it exports and this version does not call
  needs        which grants it cannot do without
  error        why it is refused; null if it is not. What is not known then is null

Exit codes:
  0  it can be used
  1  it cannot
  2  the command line is wrong";

/// Of `new`.
pub(super) const NEW: &str = "\
Makes a folder with the source, what the plugin imports and exports, the contract, a Makefile and a
test. What the Makefile needs beyond a compiler is fetched by its package manager, each at a fixed
version, to a folder that TOOLS names; several projects can share one.

Examples:
  linkspan new by-path --kind balancer --lang rust
  linkspan new by-cookie --kind router --lang js
  linkspan new stamp --kind rewriter --lang python

Exit codes:
  0  it was written
  1  there is something of that name, which stays as it is, or it could not be written
  2  the command line is wrong";

/// Of `replay`.
pub(super) const REPLAY: &str = "\
Calls the component on the recorded requests, responses and endpoints, with nothing granted, and
compares what it decides. Connects to nobody, and needs no configuration. A component that keeps
state begins without it; one that draws lots, or goes by what time it is, may differ by itself. A
header that is not in the recording looks absent.

Examples:
  linkspan replay decisions.jsonl plugins.d/by-path.wasm
  linkspan replay --all decisions.jsonl plugins.d/by-path.wasm
  linkspan replay --config other.json decisions.jsonl plugins.d/by-path.wasm
  linkspan replay --json decisions.jsonl plugins.d/by-path.wasm

Keys of --json, one object:
  recording    as it was given
  candidate    as it was given
  digest       SHA-256 of the candidate
  recorded     whose decisions they are: plugin, component, version, digest
  headers      the header fields whose values are recorded
  phases       a list of objects: phase (route, on-request, pick, on-response), calls, same,
               different, failed (of the candidate), recorded and candidate, which are what calls
               took: p50_us, p99_us
  differences  a list of objects: line, phase, input, recorded, candidate; the first 20, or --all
  error        why it could not be found out; null if it could. What is not known then is null or
               empty

Exit codes:
  0  no decision differs
  1  some do
  2  it could not be found out, or the command line is wrong";

/// Of `config`.
pub(super) const CONFIG: &str = "\
What is printed can be read again, and comes to the same then; secrets are masked. What has no value
stands behind #, with what that means.

Examples:
  linkspan config
  linkspan config -c linkspan.toml
  linkspan config --json
  linkspan config | linkspan check -c -

Exit codes:
  0  it was printed
  1  the configuration has faults; each is on standard error
  2  the command line is wrong";

/// Of `schema`.
pub(super) const SCHEMA: &str = "\
Tombi and Taplo complete and check a file that begins with `#:schema ./linkspan.schema.json`.

Examples:
  linkspan schema > linkspan.schema.json
  linkspan schema --reference";

/// Of `demo`.
pub(super) const DEMO: &str = "\
Prints commands to try in another terminal. Everything listens on 127.0.0.1 and ends with ^C.
What it serves is examples/demo/linkspan.toml of the source.

Examples:
  linkspan demo
  linkspan demo --port 8081
  linkspan demo 2>/dev/null               without the log

Exit codes:
  0  it was told to leave
  1  it could not start, such as that the port given is taken";

/// Of `completions`.
pub(super) const COMPLETIONS: &str = "\
Examples:
  linkspan completions bash > ~/.local/share/bash-completion/completions/linkspan
  linkspan completions zsh > ~/.zfunc/_linkspan
  linkspan completions fish > ~/.config/fish/completions/linkspan.fish";

/// Of `man`.
pub(super) const MAN: &str = "\
Examples:
  linkspan man | man -l -
  linkspan man run | man -l -
  linkspan man --dir ~/.local/share/man/man1";
