//! What is legal and still wrong, and what two sections get wrong together.

use super::load::Loader;
use super::proxy::Draft;

/// Looks at all proxies.
pub(super) fn proxies(_cx: &mut Loader<'_>, _proxies: &mut [Draft<'_>]) {}
