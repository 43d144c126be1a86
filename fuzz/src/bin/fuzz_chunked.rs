//! Fuzzes the target `chunked`.

fn main() -> std::process::ExitCode {
    fastlb_fuzz::main("chunked")
}
