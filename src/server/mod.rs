//! To be written.
/// The shared state of a backend's servers.
#[derive(Debug, Default)]
pub struct Farm {}
