//! Names and properties of status codes and methods (RFC 9110 sections 9.2 and 15).

/// Reason phrases by code, sorted; codes that are missing have the phrase of their class.
const REASONS: &[(u16, &str)] = &[
    (100, "Continue"),
    (101, "Switching Protocols"),
    (102, "Processing"),
    (103, "Early Hints"),
    (200, "OK"),
    (201, "Created"),
    (202, "Accepted"),
    (203, "Non-Authoritative Information"),
    (204, "No Content"),
    (205, "Reset Content"),
    (206, "Partial Content"),
    (207, "Multi-Status"),
    (208, "Already Reported"),
    (226, "IM Used"),
    (300, "Multiple Choices"),
    (301, "Moved Permanently"),
    (302, "Found"),
    (303, "See Other"),
    (304, "Not Modified"),
    (305, "Use Proxy"),
    (307, "Temporary Redirect"),
    (308, "Permanent Redirect"),
    (400, "Bad Request"),
    (401, "Unauthorized"),
    (402, "Payment Required"),
    (403, "Forbidden"),
    (404, "Not Found"),
    (405, "Method Not Allowed"),
    (406, "Not Acceptable"),
    (407, "Proxy Authentication Required"),
    (408, "Request Timeout"),
    (409, "Conflict"),
    (410, "Gone"),
    (411, "Length Required"),
    (412, "Precondition Failed"),
    (413, "Content Too Large"),
    (414, "URI Too Long"),
    (415, "Unsupported Media Type"),
    (416, "Range Not Satisfiable"),
    (417, "Expectation Failed"),
    (418, "I'm a teapot"),
    (421, "Misdirected Request"),
    (422, "Unprocessable Content"),
    (423, "Locked"),
    (424, "Failed Dependency"),
    (425, "Too Early"),
    (426, "Upgrade Required"),
    (428, "Precondition Required"),
    (429, "Too Many Requests"),
    (431, "Request Header Fields Too Large"),
    (451, "Unavailable For Legal Reasons"),
    (500, "Internal Server Error"),
    (501, "Not Implemented"),
    (502, "Bad Gateway"),
    (503, "Service Unavailable"),
    (504, "Gateway Timeout"),
    (505, "HTTP Version Not Supported"),
    (506, "Variant Also Negotiates"),
    (507, "Insufficient Storage"),
    (508, "Loop Detected"),
    (511, "Network Authentication Required"),
];

/// Returns the reason phrase of a status code, never empty.
pub fn reason(status: u16) -> &'static str {
    match REASONS.binary_search_by_key(&status, |(code, _)| *code) {
        Ok(index) => REASONS[index].1,
        Err(_) => match status {
            100..200 => "Informational",
            200..300 => "Success",
            300..400 => "Redirection",
            400..500 => "Client Error",
            500..600 => "Server Error",
            _ => "Other",
        },
    }
}

/// Returns whether the method only reads (RFC 9110 section 9.2.1).
pub fn is_safe(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE")
}

/// Returns whether sending the request twice does what sending it once does (RFC 9110 section 9.2.2).
///
/// Only such a request may be tried again once its bytes may have reached a server.
pub fn is_idempotent(method: &[u8]) -> bool {
    is_safe(method) || matches!(method, b"PUT" | b"DELETE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_sorted_by_code() {
        assert!(REASONS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn unknown_codes_have_the_phrase_of_their_class() {
        assert_eq!(reason(503), "Service Unavailable");
        assert_eq!(reason(299), "Success");
        assert_eq!(reason(999), "Other");
    }

    #[test]
    fn methods_are_case_sensitive() {
        assert!(is_idempotent(b"GET") && is_idempotent(b"DELETE"));
        assert!(!is_idempotent(b"POST") && !is_idempotent(b"get") && !is_safe(b"PUT"));
    }
}
