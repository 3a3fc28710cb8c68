//! The program: arguments, a runtime for the control thread, an exit code.

use std::process::ExitCode;

use clap::Parser;
use linkspan::cli::{Arguments, Command};
use linkspan::{commands, plugin};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Command::Compile { seconds, memory_bytes }) = arguments.command {
        return match plugin::compile_child(seconds, memory_bytes) {
            Ok(()) => ExitCode::SUCCESS,
            Err(text) => commands::complain(&text),
        };
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return commands::fail(&error),
    };
    runtime.block_on(async {
        match arguments.command.unwrap_or(Command::Run(arguments.run)) {
            Command::Run(run) => commands::run(&run).await,
            Command::Check(check) => commands::check(&check).await,
            Command::Plugins(file) => commands::plugins(file.find()).await,
            Command::Inspect { file } => commands::inspect(&file).await,
            Command::Config { file, json } => commands::config(file.find(), json),
            Command::Schema { reference } => commands::schema(reference),
            Command::Demo => commands::demo().await,
            // Done above, before there was a runtime.
            Command::Compile { .. } => ExitCode::FAILURE,
        }
    })
}
