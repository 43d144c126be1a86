//! To be written.
/// Which algorithm a backend uses.
#[derive(Clone, Debug, Default)]
pub struct Algorithm {}
