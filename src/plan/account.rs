//! Users and groups by name, as `/etc/passwd` and `/etc/group` list them.

/// Returns the user id of a name.
pub(super) fn user(name: &str) -> Option<u32> {
    id_in(&std::fs::read_to_string("/etc/passwd").ok()?, name)
}

/// Returns the group id of a name.
pub(super) fn group(name: &str) -> Option<u32> {
    id_in(&std::fs::read_to_string("/etc/group").ok()?, name)
}

/// Both files are lines of `name:password:id:…`.
fn id_in(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_by_whole_name() {
        let text = "root:x:0:0:root:/root:/bin/sh\nhaproxy:x:105:110::/:/bin/false\n";
        assert_eq!(id_in(text, "haproxy"), Some(105));
        assert_eq!(id_in(text, "root"), Some(0));
        assert_eq!(id_in(text, "proxy"), None);
    }
}
