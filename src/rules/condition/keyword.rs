//! ACL words that are a fetch and a matching method in one, such as `path_beg` and `hdr_dom` (manual 7.3.6).

use crate::rules::pattern::Method;

/// Stems and the fetch behind each. Every one can be followed by `_beg`, `_dir`, `_dom`, `_end`, `_len`, `_reg` or `_sub`.
const STEMS: &[(&str, &str)] = &[
    ("base", "base"),
    ("cook", "req.cook"),
    ("hdr", "req.hdr"),
    ("path", "path"),
    ("req.cook", "req.cook"),
    ("req.hdr", "req.hdr"),
    ("res.cook", "res.cook"),
    ("res.hdr", "res.hdr"),
    ("res.scook", "res.cook"),
    ("scook", "res.cook"),
    ("shdr", "res.hdr"),
    ("url", "url"),
    ("url_param", "urlp"),
    ("urlp", "urlp"),
];

/// Methods that can be a suffix.
const SUFFIXES: &[Method] = &[
    Method::Beg,
    Method::Dir,
    Method::Dom,
    Method::End,
    Method::Len,
    Method::Reg,
    Method::Sub,
];

/// Returns the fetch and the method of an ACL word with a suffix.
pub(in crate::rules) fn split(name: &str) -> Option<(&'static str, Method)> {
    let (stem, suffix) = name.rsplit_once('_')?;
    let method = *SUFFIXES.iter().find(|method| method.name() == suffix)?;
    let (_, fetch) = STEMS.iter().find(|(known, _)| *known == stem)?;
    Some((fetch, method))
}

/// Returns the fetch that a plain word means in an ACL, where `hdr` is always a field of the request.
pub(super) fn fetch_of(name: &str) -> &str {
    match name {
        "hdr" => "req.hdr",
        "cook" | "cookie" => "req.cook",
        other => other,
    }
}

/// Returns all words with a suffix, for suggestions and docs.
pub(in crate::rules) fn names() -> impl Iterator<Item = String> {
    STEMS
        .iter()
        .flat_map(|(stem, _)| SUFFIXES.iter().map(move |suffix| format!("{stem}_{}", suffix.name())))
}
