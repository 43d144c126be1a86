//! Fuzzes the target `proxy_header`.

fn main() -> std::process::ExitCode {
    fastlb_fuzz::main("proxy_header")
}
