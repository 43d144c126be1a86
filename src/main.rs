//! The `fastlb` command: hands its arguments to [`fastlb::cli`] and exits with the code it returns.

fn main() -> std::process::ExitCode {
    fastlb::cli::main()
}
