//! Fuzzes the target `client_hello`.

fn main() -> std::process::ExitCode {
    fastlb_fuzz::main("client_hello")
}
