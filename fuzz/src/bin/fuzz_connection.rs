//! Fuzzes the target `connection`.

fn main() -> std::process::ExitCode {
    fastlb_fuzz::main("connection")
}
