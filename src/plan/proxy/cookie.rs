//! `cookie`: the persistence cookie of a backend.

use super::{Draft, Row};
use crate::plan::directive::{Args, Entry};
use crate::plan::load::Loader;
use crate::plan::{CookieMode, CookiePolicy};

/// One row.
pub(super) static TABLE: &[Entry<Row>] = &[Entry {
    name: "cookie",
    example: "cookie SRV insert indirect nocache",
    build: Row::new(cookie).http(),
}];

const WORDS: &[&str] = &[
    "attr", "domain", "httponly", "indirect", "insert", "nocache", "postonly", "prefix",
    "preserve", "rewrite", "secure",
];

fn cookie(cx: &mut Loader<'_>, draft: &mut Draft<'_>, args: &mut Args<'_>) {
    let Some(name) = args.required(cx, "the name of a cookie") else { return };
    let mut policy = CookiePolicy {
        name: name.text.clone(),
        mode: CookieMode::Passive,
        indirect: false,
        nocache: false,
        postonly: false,
        preserve: false,
        httponly: false,
        secure: false,
        domains: Vec::new(),
        attributes: Vec::new(),
    };
    while let Some(word) = args.next() {
        let mode = match word.as_str() {
            "rewrite" => CookieMode::Rewrite,
            "insert" => CookieMode::Insert,
            "prefix" => CookieMode::Prefix,
            other => {
                match other {
                    "indirect" => policy.indirect = true,
                    "nocache" => policy.nocache = true,
                    "postonly" => policy.postonly = true,
                    "preserve" => policy.preserve = true,
                    "httponly" => policy.httponly = true,
                    "secure" => policy.secure = true,
                    "domain" => {
                        let Some(domain) = args.required(cx, "a name behind `domain`") else {
                            return;
                        };
                        policy.domains.push(domain.text.clone());
                    }
                    "attr" => {
                        let Some(value) = args.required(cx, "a value behind `attr`") else {
                            return;
                        };
                        policy.attributes.push(value.text.clone());
                    }
                    "maxidle" | "maxlife" | "dynamic" => {
                        let text = format!("`cookie … {other}` is not supported yet");
                        return args.fail(cx, word.span, text);
                    }
                    _ => return args.not_one_of(cx, word, WORDS),
                }
                continue;
            }
        };
        if policy.mode != CookieMode::Passive && policy.mode != mode {
            return args.fail(
                cx,
                word.span,
                "`cookie` takes one of `rewrite`, `insert` and `prefix`",
            );
        }
        policy.mode = mode;
    }
    draft.settings.cookie = Some(policy);
}
