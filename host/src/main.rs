//! The program: arguments, a runtime for the control thread, an exit code.

use std::process::ExitCode;

use clap::Parser;
use linkspan::cli::{Arguments, Command};
use linkspan::{commands, memory, plugin};

#[global_allocator]
static ALLOCATOR: memory::Allocator = memory::Allocator;

/// What the system runs before anything is allocated.
#[used]
#[expect(unsafe_code, reason = "there is no other place before the allocator's first page")]
#[unsafe(link_section = ".init_array")]
static EARLY: extern "C" fn() = memory::use_small_pages;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return commands::misused(&error),
    };
    let command = arguments.command.unwrap_or(Command::Run(arguments.run));
    // Who compiles needs again at once what it has freed.
    if !matches!(command, Command::Compile { .. }) {
        memory::keep_nothing();
    }
    match command {
        Command::Compile { seconds, memory_bytes } => {
            match plugin::compile_child(seconds, memory_bytes) {
                Ok(()) => ExitCode::SUCCESS,
                Err(text) => commands::complain(&text),
            }
        }
        Command::Config(wanted) => commands::config(&wanted),
        Command::Schema { reference } => commands::schema(reference),
        Command::Completions { shell } => commands::completions(shell),
        Command::Man(man) => commands::man(&man),
        Command::New(wanted) => commands::new(&wanted),
        Command::Run(run) => wait(commands::run(&run)),
        Command::Check(check) => wait(commands::check(&check)),
        Command::Plugins(plugins) => wait(commands::plugins(&plugins)),
        Command::Inspect(inspect) => wait(commands::inspect(&inspect)),
        Command::Replay(replay) => wait(commands::replay(&replay)),
        Command::Demo(demo) => wait(commands::demo(&demo)),
    }
}

fn wait(command: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(command);
            // Neither a guest that computes nor a file system that hangs is waited for.
            runtime.shutdown_background();
            code
        }
        Err(error) => commands::fail(&error),
    }
}
