//! Fuzzes the target `config`.

fn main() -> std::process::ExitCode {
    fastlb_fuzz::main("config")
}
