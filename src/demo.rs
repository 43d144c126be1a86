//! To be written.

use crate::control::cores::Cores;
use crate::control::supervisor::DriverWish;
use crate::runtime::checker::Console;

/// What the command line says about the demo.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// `--cores`
    pub cores: Option<Cores>,
    /// `--driver`
    pub driver: DriverWish,
}

/// Runs the demo until it is interrupted; returns the exit code.
pub fn run(_wish: &Wish, _console: Console) -> u8 {
    1
}
