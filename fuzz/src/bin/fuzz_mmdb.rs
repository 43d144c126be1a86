//! Fuzzes the target `mmdb`.

fn main() -> std::process::ExitCode {
    fastlb_fuzz::main("mmdb")
}
