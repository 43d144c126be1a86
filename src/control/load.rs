//! From files on disk to a plan: reading, parsing, checking, in one call with all findings.
//!
//! It never prints and never starts anything. The command line, the demo and a reload load through here.

use crate::config::ast::{Ast, Sources};
use crate::config::diagnostic::Diagnostics;
use crate::config::environment::Environment;
use crate::config::parse;
use crate::plan::{self, LoadOptions, Plan};
use std::path::PathBuf;

/// Where a configuration comes from.
#[derive(Clone, Debug)]
pub enum Input {
    /// Files and directories, in order.
    Paths(Vec<PathBuf>),
    /// A text, with the name to show for it.
    Text {
        /// The name.
        name: String,
        /// The text.
        text: String,
    },
}

/// What came of a load.
pub struct Loaded {
    /// The texts, for showing findings.
    pub sources: Sources,
    /// Everything that was found, in the order of the files.
    pub diagnostics: Diagnostics,
    /// The plan; `None` exactly when there are errors. It has no counter cells yet.
    pub plan: Option<Plan>,
}

/// Loads a configuration. The counter cells are made by whoever knows the number of shards.
pub fn load(input: &Input, env: &mut Environment, maxconn: Option<u32>) -> Loaded {
    let (mut sources, mut diagnostics) = (Sources::default(), Diagnostics::default());
    let ast: Ast = match input {
        Input::Paths(paths) => parse::load(paths, env, &mut sources, &mut diagnostics),
        Input::Text { name, text } => {
            parse::parse_text(name, text, env, &mut sources, &mut diagnostics)
        }
    };
    let options = LoadOptions { check_only: true, maxconn, ..LoadOptions::default() };
    let plan = plan::load(&ast, &sources, &options, &mut diagnostics);
    diagnostics.sort();
    Loaded { plan: plan.filter(|_| !diagnostics.has_errors()), sources, diagnostics }
}
