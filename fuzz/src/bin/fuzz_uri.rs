//! Fuzzes the target `uri`.

fn main() -> std::process::ExitCode {
    fastlb_fuzz::main("uri")
}
