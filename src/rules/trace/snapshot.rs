//! A stream before and after a rule, and what is different: this is how an explanation knows what any action did.

use crate::proto::http::Head;
use crate::rules::context::{Context, LogLevel};

/// What rules can change of a stream.
#[derive(Clone, Debug)]
pub struct Snapshot {
    request: Message,
    response: Option<Message>,
    /// Everything else by name, in a fixed order; what is absent has no value.
    facts: Vec<(String, String)>,
}

/// One message: its start line in words, and its fields.
#[derive(Clone, Debug)]
struct Message {
    start: Vec<(&'static str, Vec<u8>)>,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A change that a rule made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `field`, `response field`, `method`, `target`, `status`, `variable`, or what else it is of.
    pub of: &'static str,
    /// Name of the field or variable; empty for what there is only one of.
    pub name: String,
    /// What was there.
    pub before: Option<String>,
    /// What is there now.
    pub after: Option<String>,
}

/// Returns the fields of a head in order.
pub fn fields(head: &Head) -> Vec<(Vec<u8>, Vec<u8>)> {
    let text = |slice| head.text(slice).to_vec();
    head.fields().iter().map(|field| (text(field.name), text(field.value))).collect()
}

impl Message {
    fn request(head: &Head) -> Self {
        let start = vec![("method", head.method().to_vec()), ("target", head.target().to_vec())];
        Self { start, fields: fields(head) }
    }

    fn response(head: &Head) -> Self {
        let status = head.status().to_string().into_bytes();
        Self { start: vec![("status", status)], fields: fields(head) }
    }

    fn changes(&self, before: &Self, field: &'static str, changes: &mut Vec<Change>) {
        for ((of, before), (_, after)) in before.start.iter().zip(&self.start) {
            if before != after {
                changes.push(Change::of(of, "", Some(before), Some(after)));
            }
        }
        field_changes(&before.fields, &self.fields, field, changes);
    }
}

impl Change {
    fn of(of: &'static str, name: &str, before: Option<&[u8]>, after: Option<&[u8]>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { of, name: name.to_owned(), before: before.map(text), after: after.map(text) }
    }
}

/// Adds how the fields of a message changed, name by name in the order in which they stand.
pub fn field_changes(
    before: &[(Vec<u8>, Vec<u8>)],
    after: &[(Vec<u8>, Vec<u8>)],
    of: &'static str,
    changes: &mut Vec<Change>,
) {
    let mut seen: Vec<&[u8]> = Vec::new();
    for (name, _) in before.iter().chain(after) {
        if seen.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            continue;
        }
        seen.push(name);
        let values = |fields: &'_ [(Vec<u8>, Vec<u8>)]| -> Vec<Vec<u8>> {
            let same = fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
            same.map(|(_, value)| value.clone()).collect()
        };
        let (old, new) = (values(before), values(after));
        let shown = String::from_utf8_lossy(name);
        let equal = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
        let (old, new) = (&old[equal..], &new[equal..]);
        for at in 0..old.len().max(new.len()) {
            let (old, new) = (old.get(at), new.get(at));
            if old != new {
                let (old, new) = (old.map(Vec::as_slice), new.map(Vec::as_slice));
                changes.push(Change::of(of, &shown, old, new));
            }
        }
    }
}

impl Snapshot {
    /// Returns the stream as it is.
    pub fn of(cx: &Context<'_>) -> Self {
        let mut facts = Vec::new();
        let mut fact = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                facts.push((name.to_owned(), value));
            }
        };
        let record = cx.record;
        fact("source", record.source.get().map(|address| address.to_string()));
        fact("destination", record.destination.get().map(|address| address.to_string()));
        fact(
            "log level",
            match record.log_level.get() {
                LogLevel::Default => None,
                LogLevel::Silent => Some("silent".to_owned()),
                LogLevel::Level(level) => Some(level.to_string()),
            },
        );
        let retry = record.retry.get();
        fact("retries", retry.max.map(|max| max.to_string()));
        fact("retries of connecting only", retry.connect_only.then(|| "yes".to_owned()));
        for (name, value) in cx.variables.all() {
            let mut text = Vec::new();
            value.write_text(&mut text);
            facts.push((name, String::from_utf8_lossy(&text).into_owned()));
        }
        Self {
            request: Message::request(cx.request),
            response: cx.response.as_deref().map(Message::response),
            facts,
        }
    }

    /// Returns what is different from `before`.
    pub fn since(&self, before: &Snapshot) -> Vec<Change> {
        let mut changes = Vec::new();
        self.request.changes(&before.request, "field", &mut changes);
        if let (Some(now), Some(before)) = (&self.response, &before.response) {
            now.changes(before, "response field", &mut changes);
        }
        let find = |facts: &[(String, String)], name: &str| {
            facts.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        };
        let mut names: Vec<&str> = before.facts.iter().map(|(name, _)| name.as_str()).collect();
        names.extend(self.facts.iter().map(|(name, _)| name.as_str()));
        for (at, name) in names.iter().enumerate() {
            let (old, new) = (find(&before.facts, name), find(&self.facts, name));
            if old != new && !names[..at].contains(name) {
                let of = if name.contains('.') { "variable" } else { "stream" };
                changes.push(Change { of, name: (*name).to_owned(), before: old, after: new });
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(before: &[(&str, &str)], after: &[(&str, &str)]) -> Vec<String> {
        let bytes = |list: &[(&str, &str)]| -> Vec<(Vec<u8>, Vec<u8>)> {
            list.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect()
        };
        let mut changes = Vec::new();
        field_changes(&bytes(before), &bytes(after), "field", &mut changes);
        changes.into_iter().map(|c| format!("{} {:?} {:?}", c.name, c.before, c.after)).collect()
    }

    #[test]
    fn fields_are_compared_by_name_and_the_first_equal_values_are_left_out() {
        assert!(changed(&[("A", "1"), ("B", "2")], &[("b", "2"), ("a", "1")]).is_empty());
        assert_eq!(changed(&[("A", "1")], &[("A", "1"), ("a", "2")]), ["A None Some(\"2\")"]);
        assert_eq!(changed(&[("A", "1")], &[("A", "2")]), ["A Some(\"1\") Some(\"2\")"]);
        assert_eq!(changed(&[("A", "1"), ("B", "2")], &[("B", "2")]), ["A Some(\"1\") None"]);
    }
}
