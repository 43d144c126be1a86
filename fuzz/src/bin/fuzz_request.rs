//! Fuzzes the target `request`.

fn main() -> std::process::ExitCode {
    fastlb_fuzz::main("request")
}
