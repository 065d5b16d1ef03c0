//! Start-up as a table: verb, settings, run; exit codes after sysexits.h.

use std::process::ExitCode;

use sidepost::cli;

fn main() -> ExitCode {
    let arguments = cli::named(std::env::args_os());
    let variables = std::env::vars_os;
    match cli::parse(arguments) {
        Ok(cli::Verb::Serve(shim)) => cli::serve::run(shim.as_ref(), variables()),
        Ok(cli::Verb::Send(letter)) => cli::send::run(&letter, variables()),
        Ok(cli::Verb::Sendmail(call)) => cli::sendmail::run(&call, variables()),
        Ok(cli::Verb::Doctor(options)) => cli::doctor::run(&options, variables()),
        Ok(cli::Verb::Healthcheck) => cli::healthcheck::run(variables()),
        Ok(cli::Verb::Config { check_only }) => cli::config::run(check_only, variables()),
        Ok(cli::Verb::Import(options)) => cli::import::run(&options, variables()),
        Ok(cli::Verb::OauthLogin(login)) => cli::oauth::run(&login, variables()),
        Ok(cli::Verb::Say(text)) => cli::say(&text),
        Err(mistake) => cli::misused(&mistake),
    }
    .into()
}
