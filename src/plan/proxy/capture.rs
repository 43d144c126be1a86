//! `capture`, `declare capture`, `unique-id-format`, `unique-id-header`: what a frontend keeps and makes for logs.

use super::{Draft, Row};
use crate::config::ast::{Line, Span};
use crate::plan::directive::{Args, Entry};
use crate::plan::load::Loader;
use crate::rules::action::{CAPTURE_LENGTH_MAX, capture_length};
use crate::rules::capture::{Declarations, Declared, Side};

/// What the lines of a proxy declare, and which rules have a slot of their own.
#[derive(Clone, Debug, Default)]
pub(in crate::plan) struct CaptureDraft {
    pub(in crate::plan) declared: Declarations,
    /// Lines of `http-request capture … len …` and their slots.
    own: Vec<(Span, u32)>,
}

impl CaptureDraft {
    /// Returns the slot of a rule's line.
    pub(in crate::plan) fn slot(&self, line: Span) -> Option<u32> {
        self.own.iter().find(|(span, _)| *span == line).map(|(_, slot)| *slot)
    }

    /// Makes the slot of a rule that has one of its own.
    pub(super) fn rule(&mut self, line: &Line) {
        let mut words = line.words.iter().skip(1);
        let is = words.next().is_some_and(|word| word.as_str() == "capture")
            && words.nth(1).is_some_and(|word| word.as_str() == "len");
        if let (true, Some(bytes_max)) = (is, words.next().and_then(capture_length)) {
            self.own.push((line.span, self.declared.request.len() as u32));
            self.declared.request.push(Declared { field: None, bytes_max });
        }
    }
}

/// One row per directive.
pub(super) static TABLE: &[Entry<Row>] = &[
    Entry {
        name: "capture cookie",
        example: "capture cookie session len 32",
        build: Row::new(|cx, draft, args| {
            let Some(name) = args.required(cx, "the name of a cookie") else { return };
            let Some(len) = length(cx, args) else { return };
            let name = name.as_str().as_bytes().into();
            draft.settings.captures.declared.cookie = Some((name, len));
        })
        .http(),
    },
    Entry {
        name: "capture request header",
        example: "capture request header Host len 40",
        build: Row::new(|cx, draft, args| field(cx, draft, args, Side::Request)).http(),
    },
    Entry {
        name: "capture response header",
        example: "capture response header Server len 20",
        build: Row::new(|cx, draft, args| field(cx, draft, args, Side::Response)).http(),
    },
    Entry {
        name: "declare capture",
        example: "declare capture request len 40",
        build: Row::new(|cx, draft, args| {
            let Some(word) = args.required(cx, "`request` or `response`") else { return };
            let side = match word.as_str() {
                "request" => Side::Request,
                "response" => Side::Response,
                _ => return args.not_one_of(cx, word, &["request", "response"]),
            };
            if let Some(bytes_max) = length(cx, args) {
                declare(draft, side, Declared { field: None, bytes_max });
            }
        }),
    },
    Entry {
        name: "unique-id-format",
        example: "unique-id-format %{+X}o\\ %ci:%cp_%fi:%fp_%Ts_%rt:%pid",
        build: Row::new(|cx, draft, args| {
            if let Some(format) = args.required(cx, "a format") {
                draft.settings.unique_id_format = Some(format);
            }
        }),
    },
    Entry {
        name: "unique-id-header",
        example: "unique-id-header X-Unique-ID",
        build: Row::new(|cx, draft, args| {
            let Some(name) = args.required(cx, "the name of a field") else { return };
            if !crate::proto::scan::is_token(name.as_str().as_bytes()) {
                let text = format!("`{}` is no name of a field", name.as_str());
                return args.fail(cx, name.span, text);
            }
            draft.settings.unique_id_header = Some(name);
        })
        .http(),
    },
];

fn field(cx: &mut Loader<'_>, draft: &mut Draft<'_>, args: &mut Args<'_>, side: Side) {
    let Some(name) = args.required(cx, "the name of a field") else { return };
    let Some(bytes_max) = length(cx, args) else { return };
    let name = name.as_str().to_ascii_lowercase().into_bytes().into();
    declare(draft, side, Declared { field: Some(name), bytes_max });
}

/// Takes `len <length>`.
fn length(cx: &mut Loader<'_>, args: &mut Args<'_>) -> Option<usize> {
    if !args.take("len") {
        match args.peek() {
            Some(word) => args.not_one_of(cx, word, &["len"]),
            None => {
                args.required(cx, "`len` and a length");
            }
        }
        return None;
    }
    args.number(cx, "a length", 1..=CAPTURE_LENGTH_MAX as u64).map(|length| length as usize)
}

fn declare(draft: &mut Draft<'_>, side: Side, slot: Declared) {
    let declared = &mut draft.settings.captures.declared;
    match side {
        Side::Request => declared.request.push(slot),
        Side::Response => declared.response.push(slot),
    }
}
