//! Fuzzes the target `response`.

fn main() -> std::process::ExitCode {
    fastlb_fuzz::main("response")
}
