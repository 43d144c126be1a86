//! Fetches about stick tables (manual 7.3.2, 7.3.3): what is tracked (`sc_…`, `sc0_…`), what a table knows of the client's
//! address (`src_…`), and tables themselves.
//!
//! A row names what it reads as constant arguments of the function that it calls: where the entry comes from, and the
//! kind of data. That reading may raise or clear a counter is the manual's own idea.

use super::{FetchSpec, Row, Scope, row};
use crate::rules::context::Context;
use crate::rules::sample::{Arg, ArgKind, Type, Value};
use crate::rules::stick::{int, key, value_of_key};
use crate::stick::data::TYPES;
use crate::stick::{Data, Entry, Table, Tracked};

/// Where an entry comes from: the stick counter of that number …
const COUNTER_0: u8 = 0;
const COUNTER_1: u8 = 1;
const COUNTER_2: u8 = 2;
/// … or of the number in an argument, or the client's address.
const COUNTER: u8 = 3;
const SOURCE: u8 = 4;

const FIXED: (&str, &[ArgKind], usize) = ("[<table>]", &[ArgKind::TableOrTracked], 0);
const NUMBERED: (&str, &[ArgKind], usize) =
    ("<counter>[,<table>]", &[ArgKind::Counter, ArgKind::TableOrTracked], 1);
const NUMBERED_ELEMENT: (&str, &[ArgKind], usize) =
    ("<index>,<counter>[,<table>]", &[ArgKind::Int, ArgKind::Counter, ArgKind::TableOrTracked], 2);
const ADDRESS: (&str, &[ArgKind], usize) = ("[<table>]", &[ArgKind::Table], 0);
const ADDRESS_ELEMENT: (&str, &[ArgKind], usize) =
    ("<index>[,<table>]", &[ArgKind::Int, ArgKind::Table], 1);

/// A row: name, what it says of the entry, an example, its arguments, its type, and what reads it.
macro_rules! stick {
    ($name:literal, $doc:literal, $example:literal, $args:ident, $type:ident, $eval:expr) => {
        row(
            $name,
            $args.0,
            concat!("Returns ", $doc, "."),
            $example,
            FetchSpec::one(Type::$type, Scope::Anywhere, $eval).args($args.1, $args.2),
        )
    };
}

/// Fetches about what any stick counter tracks.
#[rustfmt::skip]
pub const SC: &[Row] = &[
    stick!("sc_bytes_in_rate", "the bytes per period that clients sent of what a stick counter tracks", "sc_bytes_in_rate(0)", NUMBERED, Int, read::<COUNTER, { Data::BytesInRate as u8 }>),
    stick!("sc_bytes_out_rate", "the bytes per period that were sent to clients of what a stick counter tracks", "sc_bytes_out_rate(0)", NUMBERED, Int, read::<COUNTER, { Data::BytesOutRate as u8 }>),
    stick!("sc_clr_gpc", "an element of the counters of what a stick counter tracks, and clears it", "sc_clr_gpc(1,0)", NUMBERED_ELEMENT, Int, clear::<COUNTER, { Data::Gpc as u8 }>),
    stick!("sc_clr_gpc0", "the first general purpose counter of what a stick counter tracks, and clears it", "sc_clr_gpc0(0)", NUMBERED, Int, clear::<COUNTER, { Data::Gpc0 as u8 }>),
    stick!("sc_clr_gpc1", "the second general purpose counter of what a stick counter tracks, and clears it", "sc_clr_gpc1(0)", NUMBERED, Int, clear::<COUNTER, { Data::Gpc1 as u8 }>),
    stick!("sc_conn_cnt", "the connections of what a stick counter tracks", "sc_conn_cnt(0)", NUMBERED, Int, read::<COUNTER, { Data::ConnCnt as u8 }>),
    stick!("sc_conn_cur", "the current connections of what a stick counter tracks", "sc_conn_cur(0)", NUMBERED, Int, read::<COUNTER, { Data::ConnCur as u8 }>),
    stick!("sc_conn_rate", "the connections per period of what a stick counter tracks", "sc_conn_rate(0)", NUMBERED, Int, read::<COUNTER, { Data::ConnRate as u8 }>),
    stick!("sc_get_gpc", "an element of the counters of what a stick counter tracks", "sc_get_gpc(1,0)", NUMBERED_ELEMENT, Int, read::<COUNTER, { Data::Gpc as u8 }>),
    stick!("sc_get_gpc0", "the first general purpose counter of what a stick counter tracks", "sc_get_gpc0(0)", NUMBERED, Int, read::<COUNTER, { Data::Gpc0 as u8 }>),
    stick!("sc_get_gpc1", "the second general purpose counter of what a stick counter tracks", "sc_get_gpc1(0)", NUMBERED, Int, read::<COUNTER, { Data::Gpc1 as u8 }>),
    stick!("sc_get_gpt", "an element of the tags of what a stick counter tracks", "sc_get_gpt(1,0)", NUMBERED_ELEMENT, Int, read::<COUNTER, { Data::Gpt as u8 }>),
    stick!("sc_get_gpt0", "the first general purpose tag of what a stick counter tracks", "sc_get_gpt0(0)", NUMBERED, Int, read::<COUNTER, { Data::Gpt0 as u8 }>),
    stick!("sc_glitch_cnt", "the oddities of protocols of what a stick counter tracks", "sc_glitch_cnt(0)", NUMBERED, Int, read::<COUNTER, { Data::GlitchCnt as u8 }>),
    stick!("sc_glitch_rate", "the oddities of protocols per period of what a stick counter tracks", "sc_glitch_rate(0)", NUMBERED, Int, read::<COUNTER, { Data::GlitchRate as u8 }>),
    stick!("sc_gpc0_rate", "how often per period the first general purpose counter was raised of what a stick counter tracks", "sc_gpc0_rate(0)", NUMBERED, Int, read::<COUNTER, { Data::Gpc0Rate as u8 }>),
    stick!("sc_gpc1_rate", "how often per period the second general purpose counter was raised of what a stick counter tracks", "sc_gpc1_rate(0)", NUMBERED, Int, read::<COUNTER, { Data::Gpc1Rate as u8 }>),
    stick!("sc_gpc_rate", "how often per period an element of the counters was raised of what a stick counter tracks", "sc_gpc_rate(1,0)", NUMBERED_ELEMENT, Int, read::<COUNTER, { Data::GpcRate as u8 }>),
    stick!("sc_http_err_cnt", "the requests with an error of the client of what a stick counter tracks", "sc_http_err_cnt(0)", NUMBERED, Int, read::<COUNTER, { Data::HttpErrCnt as u8 }>),
    stick!("sc_http_err_rate", "the requests with an error of the client per period of what a stick counter tracks", "sc_http_err_rate(0)", NUMBERED, Int, read::<COUNTER, { Data::HttpErrRate as u8 }>),
    stick!("sc_http_fail_cnt", "the requests with a failure of the server of what a stick counter tracks", "sc_http_fail_cnt(0)", NUMBERED, Int, read::<COUNTER, { Data::HttpFailCnt as u8 }>),
    stick!("sc_http_fail_rate", "the requests with a failure of the server per period of what a stick counter tracks", "sc_http_fail_rate(0)", NUMBERED, Int, read::<COUNTER, { Data::HttpFailRate as u8 }>),
    stick!("sc_http_req_cnt", "the requests of what a stick counter tracks", "sc_http_req_cnt(0)", NUMBERED, Int, read::<COUNTER, { Data::HttpReqCnt as u8 }>),
    stick!("sc_http_req_rate", "the requests per period of what a stick counter tracks", "sc_http_req_rate(0)", NUMBERED, Int, read::<COUNTER, { Data::HttpReqRate as u8 }>),
    stick!("sc_inc_gpc", "an element of the counters of what a stick counter tracks after raising it", "sc_inc_gpc(1,0)", NUMBERED_ELEMENT, Int, raise::<COUNTER, { Data::Gpc as u8 }>),
    stick!("sc_inc_gpc0", "the first general purpose counter of what a stick counter tracks after raising it", "sc_inc_gpc0(0)", NUMBERED, Int, raise::<COUNTER, { Data::Gpc0 as u8 }>),
    stick!("sc_inc_gpc1", "the second general purpose counter of what a stick counter tracks after raising it", "sc_inc_gpc1(0)", NUMBERED, Int, raise::<COUNTER, { Data::Gpc1 as u8 }>),
    stick!("sc_kbytes_in", "the kilobytes that clients sent of what a stick counter tracks", "sc_kbytes_in(0)", NUMBERED, Int, kbytes::<COUNTER, { Data::BytesInCnt as u8 }>),
    stick!("sc_kbytes_out", "the kilobytes that were sent to clients of what a stick counter tracks", "sc_kbytes_out(0)", NUMBERED, Int, kbytes::<COUNTER, { Data::BytesOutCnt as u8 }>),
    stick!("sc_key", "the key of what a stick counter tracks", "sc_key(0)", NUMBERED, Any, own_key::<COUNTER>),
    stick!("sc_sess_cnt", "the sessions of what a stick counter tracks", "sc_sess_cnt(0)", NUMBERED, Int, read::<COUNTER, { Data::SessCnt as u8 }>),
    stick!("sc_sess_rate", "the sessions per period of what a stick counter tracks", "sc_sess_rate(0)", NUMBERED, Int, read::<COUNTER, { Data::SessRate as u8 }>),
    stick!("sc_tracked", "whether anything is tracked of what a stick counter tracks", "sc_tracked(0)", NUMBERED, Bool, tracked::<COUNTER>),
    stick!("sc_trackers", "how many streams and sessions track the same of what a stick counter tracks", "sc_trackers(0)", NUMBERED, Int, trackers::<COUNTER>),
];

/// Fetches about what stick counter 0 tracks.
#[rustfmt::skip]
pub const SC0: &[Row] = &[
    stick!("sc0_bytes_in_rate", "the bytes per period that clients sent of what counter 0 tracks", "sc0_bytes_in_rate", FIXED, Int, read::<COUNTER_0, { Data::BytesInRate as u8 }>),
    stick!("sc0_bytes_out_rate", "the bytes per period that were sent to clients of what counter 0 tracks", "sc0_bytes_out_rate", FIXED, Int, read::<COUNTER_0, { Data::BytesOutRate as u8 }>),
    stick!("sc0_clr_gpc0", "the first general purpose counter of what counter 0 tracks, and clears it", "sc0_clr_gpc0", FIXED, Int, clear::<COUNTER_0, { Data::Gpc0 as u8 }>),
    stick!("sc0_clr_gpc1", "the second general purpose counter of what counter 0 tracks, and clears it", "sc0_clr_gpc1", FIXED, Int, clear::<COUNTER_0, { Data::Gpc1 as u8 }>),
    stick!("sc0_conn_cnt", "the connections of what counter 0 tracks", "sc0_conn_cnt", FIXED, Int, read::<COUNTER_0, { Data::ConnCnt as u8 }>),
    stick!("sc0_conn_cur", "the current connections of what counter 0 tracks", "sc0_conn_cur", FIXED, Int, read::<COUNTER_0, { Data::ConnCur as u8 }>),
    stick!("sc0_conn_rate", "the connections per period of what counter 0 tracks", "sc0_conn_rate", FIXED, Int, read::<COUNTER_0, { Data::ConnRate as u8 }>),
    stick!("sc0_get_gpc0", "the first general purpose counter of what counter 0 tracks", "sc0_get_gpc0", FIXED, Int, read::<COUNTER_0, { Data::Gpc0 as u8 }>),
    stick!("sc0_get_gpc1", "the second general purpose counter of what counter 0 tracks", "sc0_get_gpc1", FIXED, Int, read::<COUNTER_0, { Data::Gpc1 as u8 }>),
    stick!("sc0_get_gpt0", "the first general purpose tag of what counter 0 tracks", "sc0_get_gpt0", FIXED, Int, read::<COUNTER_0, { Data::Gpt0 as u8 }>),
    stick!("sc0_glitch_cnt", "the oddities of protocols of what counter 0 tracks", "sc0_glitch_cnt", FIXED, Int, read::<COUNTER_0, { Data::GlitchCnt as u8 }>),
    stick!("sc0_glitch_rate", "the oddities of protocols per period of what counter 0 tracks", "sc0_glitch_rate", FIXED, Int, read::<COUNTER_0, { Data::GlitchRate as u8 }>),
    stick!("sc0_gpc0_rate", "how often per period the first general purpose counter was raised of what counter 0 tracks", "sc0_gpc0_rate", FIXED, Int, read::<COUNTER_0, { Data::Gpc0Rate as u8 }>),
    stick!("sc0_gpc1_rate", "how often per period the second general purpose counter was raised of what counter 0 tracks", "sc0_gpc1_rate", FIXED, Int, read::<COUNTER_0, { Data::Gpc1Rate as u8 }>),
    stick!("sc0_http_err_cnt", "the requests with an error of the client of what counter 0 tracks", "sc0_http_err_cnt", FIXED, Int, read::<COUNTER_0, { Data::HttpErrCnt as u8 }>),
    stick!("sc0_http_err_rate", "the requests with an error of the client per period of what counter 0 tracks", "sc0_http_err_rate", FIXED, Int, read::<COUNTER_0, { Data::HttpErrRate as u8 }>),
    stick!("sc0_http_fail_cnt", "the requests with a failure of the server of what counter 0 tracks", "sc0_http_fail_cnt", FIXED, Int, read::<COUNTER_0, { Data::HttpFailCnt as u8 }>),
    stick!("sc0_http_fail_rate", "the requests with a failure of the server per period of what counter 0 tracks", "sc0_http_fail_rate", FIXED, Int, read::<COUNTER_0, { Data::HttpFailRate as u8 }>),
    stick!("sc0_http_req_cnt", "the requests of what counter 0 tracks", "sc0_http_req_cnt", FIXED, Int, read::<COUNTER_0, { Data::HttpReqCnt as u8 }>),
    stick!("sc0_http_req_rate", "the requests per period of what counter 0 tracks", "sc0_http_req_rate", FIXED, Int, read::<COUNTER_0, { Data::HttpReqRate as u8 }>),
    stick!("sc0_inc_gpc0", "the first general purpose counter of what counter 0 tracks after raising it", "sc0_inc_gpc0", FIXED, Int, raise::<COUNTER_0, { Data::Gpc0 as u8 }>),
    stick!("sc0_inc_gpc1", "the second general purpose counter of what counter 0 tracks after raising it", "sc0_inc_gpc1", FIXED, Int, raise::<COUNTER_0, { Data::Gpc1 as u8 }>),
    stick!("sc0_kbytes_in", "the kilobytes that clients sent of what counter 0 tracks", "sc0_kbytes_in", FIXED, Int, kbytes::<COUNTER_0, { Data::BytesInCnt as u8 }>),
    stick!("sc0_kbytes_out", "the kilobytes that were sent to clients of what counter 0 tracks", "sc0_kbytes_out", FIXED, Int, kbytes::<COUNTER_0, { Data::BytesOutCnt as u8 }>),
    stick!("sc0_key", "the key of what counter 0 tracks", "sc0_key", FIXED, Any, own_key::<COUNTER_0>),
    stick!("sc0_sess_cnt", "the sessions of what counter 0 tracks", "sc0_sess_cnt", FIXED, Int, read::<COUNTER_0, { Data::SessCnt as u8 }>),
    stick!("sc0_sess_rate", "the sessions per period of what counter 0 tracks", "sc0_sess_rate", FIXED, Int, read::<COUNTER_0, { Data::SessRate as u8 }>),
    stick!("sc0_tracked", "whether anything is tracked of what counter 0 tracks", "sc0_tracked", FIXED, Bool, tracked::<COUNTER_0>),
    stick!("sc0_trackers", "how many streams and sessions track the same of what counter 0 tracks", "sc0_trackers", FIXED, Int, trackers::<COUNTER_0>),
];

/// Fetches about what stick counter 1 tracks.
#[rustfmt::skip]
pub const SC1: &[Row] = &[
    stick!("sc1_bytes_in_rate", "the bytes per period that clients sent of what counter 1 tracks", "sc1_bytes_in_rate", FIXED, Int, read::<COUNTER_1, { Data::BytesInRate as u8 }>),
    stick!("sc1_bytes_out_rate", "the bytes per period that were sent to clients of what counter 1 tracks", "sc1_bytes_out_rate", FIXED, Int, read::<COUNTER_1, { Data::BytesOutRate as u8 }>),
    stick!("sc1_clr_gpc0", "the first general purpose counter of what counter 1 tracks, and clears it", "sc1_clr_gpc0", FIXED, Int, clear::<COUNTER_1, { Data::Gpc0 as u8 }>),
    stick!("sc1_clr_gpc1", "the second general purpose counter of what counter 1 tracks, and clears it", "sc1_clr_gpc1", FIXED, Int, clear::<COUNTER_1, { Data::Gpc1 as u8 }>),
    stick!("sc1_conn_cnt", "the connections of what counter 1 tracks", "sc1_conn_cnt", FIXED, Int, read::<COUNTER_1, { Data::ConnCnt as u8 }>),
    stick!("sc1_conn_cur", "the current connections of what counter 1 tracks", "sc1_conn_cur", FIXED, Int, read::<COUNTER_1, { Data::ConnCur as u8 }>),
    stick!("sc1_conn_rate", "the connections per period of what counter 1 tracks", "sc1_conn_rate", FIXED, Int, read::<COUNTER_1, { Data::ConnRate as u8 }>),
    stick!("sc1_get_gpc0", "the first general purpose counter of what counter 1 tracks", "sc1_get_gpc0", FIXED, Int, read::<COUNTER_1, { Data::Gpc0 as u8 }>),
    stick!("sc1_get_gpc1", "the second general purpose counter of what counter 1 tracks", "sc1_get_gpc1", FIXED, Int, read::<COUNTER_1, { Data::Gpc1 as u8 }>),
    stick!("sc1_get_gpt0", "the first general purpose tag of what counter 1 tracks", "sc1_get_gpt0", FIXED, Int, read::<COUNTER_1, { Data::Gpt0 as u8 }>),
    stick!("sc1_glitch_cnt", "the oddities of protocols of what counter 1 tracks", "sc1_glitch_cnt", FIXED, Int, read::<COUNTER_1, { Data::GlitchCnt as u8 }>),
    stick!("sc1_glitch_rate", "the oddities of protocols per period of what counter 1 tracks", "sc1_glitch_rate", FIXED, Int, read::<COUNTER_1, { Data::GlitchRate as u8 }>),
    stick!("sc1_gpc0_rate", "how often per period the first general purpose counter was raised of what counter 1 tracks", "sc1_gpc0_rate", FIXED, Int, read::<COUNTER_1, { Data::Gpc0Rate as u8 }>),
    stick!("sc1_gpc1_rate", "how often per period the second general purpose counter was raised of what counter 1 tracks", "sc1_gpc1_rate", FIXED, Int, read::<COUNTER_1, { Data::Gpc1Rate as u8 }>),
    stick!("sc1_http_err_cnt", "the requests with an error of the client of what counter 1 tracks", "sc1_http_err_cnt", FIXED, Int, read::<COUNTER_1, { Data::HttpErrCnt as u8 }>),
    stick!("sc1_http_err_rate", "the requests with an error of the client per period of what counter 1 tracks", "sc1_http_err_rate", FIXED, Int, read::<COUNTER_1, { Data::HttpErrRate as u8 }>),
    stick!("sc1_http_fail_cnt", "the requests with a failure of the server of what counter 1 tracks", "sc1_http_fail_cnt", FIXED, Int, read::<COUNTER_1, { Data::HttpFailCnt as u8 }>),
    stick!("sc1_http_fail_rate", "the requests with a failure of the server per period of what counter 1 tracks", "sc1_http_fail_rate", FIXED, Int, read::<COUNTER_1, { Data::HttpFailRate as u8 }>),
    stick!("sc1_http_req_cnt", "the requests of what counter 1 tracks", "sc1_http_req_cnt", FIXED, Int, read::<COUNTER_1, { Data::HttpReqCnt as u8 }>),
    stick!("sc1_http_req_rate", "the requests per period of what counter 1 tracks", "sc1_http_req_rate", FIXED, Int, read::<COUNTER_1, { Data::HttpReqRate as u8 }>),
    stick!("sc1_inc_gpc0", "the first general purpose counter of what counter 1 tracks after raising it", "sc1_inc_gpc0", FIXED, Int, raise::<COUNTER_1, { Data::Gpc0 as u8 }>),
    stick!("sc1_inc_gpc1", "the second general purpose counter of what counter 1 tracks after raising it", "sc1_inc_gpc1", FIXED, Int, raise::<COUNTER_1, { Data::Gpc1 as u8 }>),
    stick!("sc1_kbytes_in", "the kilobytes that clients sent of what counter 1 tracks", "sc1_kbytes_in", FIXED, Int, kbytes::<COUNTER_1, { Data::BytesInCnt as u8 }>),
    stick!("sc1_kbytes_out", "the kilobytes that were sent to clients of what counter 1 tracks", "sc1_kbytes_out", FIXED, Int, kbytes::<COUNTER_1, { Data::BytesOutCnt as u8 }>),
    stick!("sc1_key", "the key of what counter 1 tracks", "sc1_key", FIXED, Any, own_key::<COUNTER_1>),
    stick!("sc1_sess_cnt", "the sessions of what counter 1 tracks", "sc1_sess_cnt", FIXED, Int, read::<COUNTER_1, { Data::SessCnt as u8 }>),
    stick!("sc1_sess_rate", "the sessions per period of what counter 1 tracks", "sc1_sess_rate", FIXED, Int, read::<COUNTER_1, { Data::SessRate as u8 }>),
    stick!("sc1_tracked", "whether anything is tracked of what counter 1 tracks", "sc1_tracked", FIXED, Bool, tracked::<COUNTER_1>),
    stick!("sc1_trackers", "how many streams and sessions track the same of what counter 1 tracks", "sc1_trackers", FIXED, Int, trackers::<COUNTER_1>),
];

/// Fetches about what stick counter 2 tracks.
#[rustfmt::skip]
pub const SC2: &[Row] = &[
    stick!("sc2_bytes_in_rate", "the bytes per period that clients sent of what counter 2 tracks", "sc2_bytes_in_rate", FIXED, Int, read::<COUNTER_2, { Data::BytesInRate as u8 }>),
    stick!("sc2_bytes_out_rate", "the bytes per period that were sent to clients of what counter 2 tracks", "sc2_bytes_out_rate", FIXED, Int, read::<COUNTER_2, { Data::BytesOutRate as u8 }>),
    stick!("sc2_clr_gpc0", "the first general purpose counter of what counter 2 tracks, and clears it", "sc2_clr_gpc0", FIXED, Int, clear::<COUNTER_2, { Data::Gpc0 as u8 }>),
    stick!("sc2_clr_gpc1", "the second general purpose counter of what counter 2 tracks, and clears it", "sc2_clr_gpc1", FIXED, Int, clear::<COUNTER_2, { Data::Gpc1 as u8 }>),
    stick!("sc2_conn_cnt", "the connections of what counter 2 tracks", "sc2_conn_cnt", FIXED, Int, read::<COUNTER_2, { Data::ConnCnt as u8 }>),
    stick!("sc2_conn_cur", "the current connections of what counter 2 tracks", "sc2_conn_cur", FIXED, Int, read::<COUNTER_2, { Data::ConnCur as u8 }>),
    stick!("sc2_conn_rate", "the connections per period of what counter 2 tracks", "sc2_conn_rate", FIXED, Int, read::<COUNTER_2, { Data::ConnRate as u8 }>),
    stick!("sc2_get_gpc0", "the first general purpose counter of what counter 2 tracks", "sc2_get_gpc0", FIXED, Int, read::<COUNTER_2, { Data::Gpc0 as u8 }>),
    stick!("sc2_get_gpc1", "the second general purpose counter of what counter 2 tracks", "sc2_get_gpc1", FIXED, Int, read::<COUNTER_2, { Data::Gpc1 as u8 }>),
    stick!("sc2_get_gpt0", "the first general purpose tag of what counter 2 tracks", "sc2_get_gpt0", FIXED, Int, read::<COUNTER_2, { Data::Gpt0 as u8 }>),
    stick!("sc2_glitch_cnt", "the oddities of protocols of what counter 2 tracks", "sc2_glitch_cnt", FIXED, Int, read::<COUNTER_2, { Data::GlitchCnt as u8 }>),
    stick!("sc2_glitch_rate", "the oddities of protocols per period of what counter 2 tracks", "sc2_glitch_rate", FIXED, Int, read::<COUNTER_2, { Data::GlitchRate as u8 }>),
    stick!("sc2_gpc0_rate", "how often per period the first general purpose counter was raised of what counter 2 tracks", "sc2_gpc0_rate", FIXED, Int, read::<COUNTER_2, { Data::Gpc0Rate as u8 }>),
    stick!("sc2_gpc1_rate", "how often per period the second general purpose counter was raised of what counter 2 tracks", "sc2_gpc1_rate", FIXED, Int, read::<COUNTER_2, { Data::Gpc1Rate as u8 }>),
    stick!("sc2_http_err_cnt", "the requests with an error of the client of what counter 2 tracks", "sc2_http_err_cnt", FIXED, Int, read::<COUNTER_2, { Data::HttpErrCnt as u8 }>),
    stick!("sc2_http_err_rate", "the requests with an error of the client per period of what counter 2 tracks", "sc2_http_err_rate", FIXED, Int, read::<COUNTER_2, { Data::HttpErrRate as u8 }>),
    stick!("sc2_http_fail_cnt", "the requests with a failure of the server of what counter 2 tracks", "sc2_http_fail_cnt", FIXED, Int, read::<COUNTER_2, { Data::HttpFailCnt as u8 }>),
    stick!("sc2_http_fail_rate", "the requests with a failure of the server per period of what counter 2 tracks", "sc2_http_fail_rate", FIXED, Int, read::<COUNTER_2, { Data::HttpFailRate as u8 }>),
    stick!("sc2_http_req_cnt", "the requests of what counter 2 tracks", "sc2_http_req_cnt", FIXED, Int, read::<COUNTER_2, { Data::HttpReqCnt as u8 }>),
    stick!("sc2_http_req_rate", "the requests per period of what counter 2 tracks", "sc2_http_req_rate", FIXED, Int, read::<COUNTER_2, { Data::HttpReqRate as u8 }>),
    stick!("sc2_inc_gpc0", "the first general purpose counter of what counter 2 tracks after raising it", "sc2_inc_gpc0", FIXED, Int, raise::<COUNTER_2, { Data::Gpc0 as u8 }>),
    stick!("sc2_inc_gpc1", "the second general purpose counter of what counter 2 tracks after raising it", "sc2_inc_gpc1", FIXED, Int, raise::<COUNTER_2, { Data::Gpc1 as u8 }>),
    stick!("sc2_kbytes_in", "the kilobytes that clients sent of what counter 2 tracks", "sc2_kbytes_in", FIXED, Int, kbytes::<COUNTER_2, { Data::BytesInCnt as u8 }>),
    stick!("sc2_kbytes_out", "the kilobytes that were sent to clients of what counter 2 tracks", "sc2_kbytes_out", FIXED, Int, kbytes::<COUNTER_2, { Data::BytesOutCnt as u8 }>),
    stick!("sc2_key", "the key of what counter 2 tracks", "sc2_key", FIXED, Any, own_key::<COUNTER_2>),
    stick!("sc2_sess_cnt", "the sessions of what counter 2 tracks", "sc2_sess_cnt", FIXED, Int, read::<COUNTER_2, { Data::SessCnt as u8 }>),
    stick!("sc2_sess_rate", "the sessions per period of what counter 2 tracks", "sc2_sess_rate", FIXED, Int, read::<COUNTER_2, { Data::SessRate as u8 }>),
    stick!("sc2_tracked", "whether anything is tracked of what counter 2 tracks", "sc2_tracked", FIXED, Bool, tracked::<COUNTER_2>),
    stick!("sc2_trackers", "how many streams and sessions track the same of what counter 2 tracks", "sc2_trackers", FIXED, Int, trackers::<COUNTER_2>),
];

/// Fetches about the client's address in a table.
#[rustfmt::skip]
pub const SRC: &[Row] = &[
    stick!("src_bytes_in_rate", "the bytes per period that clients sent of the client's address", "src_bytes_in_rate(clients)", ADDRESS, Int, read::<SOURCE, { Data::BytesInRate as u8 }>),
    stick!("src_bytes_out_rate", "the bytes per period that were sent to clients of the client's address", "src_bytes_out_rate(clients)", ADDRESS, Int, read::<SOURCE, { Data::BytesOutRate as u8 }>),
    stick!("src_clr_gpc", "an element of the counters of the client's address, and clears it", "src_clr_gpc(1,clients)", ADDRESS_ELEMENT, Int, clear::<SOURCE, { Data::Gpc as u8 }>),
    stick!("src_clr_gpc0", "the first general purpose counter of the client's address, and clears it", "src_clr_gpc0(clients)", ADDRESS, Int, clear::<SOURCE, { Data::Gpc0 as u8 }>),
    stick!("src_clr_gpc1", "the second general purpose counter of the client's address, and clears it", "src_clr_gpc1(clients)", ADDRESS, Int, clear::<SOURCE, { Data::Gpc1 as u8 }>),
    stick!("src_conn_cnt", "the connections of the client's address", "src_conn_cnt(clients)", ADDRESS, Int, read::<SOURCE, { Data::ConnCnt as u8 }>),
    stick!("src_conn_cur", "the current connections of the client's address", "src_conn_cur(clients)", ADDRESS, Int, read::<SOURCE, { Data::ConnCur as u8 }>),
    stick!("src_conn_rate", "the connections per period of the client's address", "src_conn_rate(clients)", ADDRESS, Int, read::<SOURCE, { Data::ConnRate as u8 }>),
    stick!("src_get_gpc", "an element of the counters of the client's address", "src_get_gpc(1,clients)", ADDRESS_ELEMENT, Int, read::<SOURCE, { Data::Gpc as u8 }>),
    stick!("src_get_gpc0", "the first general purpose counter of the client's address", "src_get_gpc0(clients)", ADDRESS, Int, read::<SOURCE, { Data::Gpc0 as u8 }>),
    stick!("src_get_gpc1", "the second general purpose counter of the client's address", "src_get_gpc1(clients)", ADDRESS, Int, read::<SOURCE, { Data::Gpc1 as u8 }>),
    stick!("src_get_gpt", "an element of the tags of the client's address", "src_get_gpt(1,clients)", ADDRESS_ELEMENT, Int, read::<SOURCE, { Data::Gpt as u8 }>),
    stick!("src_get_gpt0", "the first general purpose tag of the client's address", "src_get_gpt0(clients)", ADDRESS, Int, read::<SOURCE, { Data::Gpt0 as u8 }>),
    stick!("src_glitch_cnt", "the oddities of protocols of the client's address", "src_glitch_cnt(clients)", ADDRESS, Int, read::<SOURCE, { Data::GlitchCnt as u8 }>),
    stick!("src_glitch_rate", "the oddities of protocols per period of the client's address", "src_glitch_rate(clients)", ADDRESS, Int, read::<SOURCE, { Data::GlitchRate as u8 }>),
    stick!("src_gpc0_rate", "how often per period the first general purpose counter was raised of the client's address", "src_gpc0_rate(clients)", ADDRESS, Int, read::<SOURCE, { Data::Gpc0Rate as u8 }>),
    stick!("src_gpc1_rate", "how often per period the second general purpose counter was raised of the client's address", "src_gpc1_rate(clients)", ADDRESS, Int, read::<SOURCE, { Data::Gpc1Rate as u8 }>),
    stick!("src_gpc_rate", "how often per period an element of the counters was raised of the client's address", "src_gpc_rate(1,clients)", ADDRESS_ELEMENT, Int, read::<SOURCE, { Data::GpcRate as u8 }>),
    stick!("src_http_err_cnt", "the requests with an error of the client of the client's address", "src_http_err_cnt(clients)", ADDRESS, Int, read::<SOURCE, { Data::HttpErrCnt as u8 }>),
    stick!("src_http_err_rate", "the requests with an error of the client per period of the client's address", "src_http_err_rate(clients)", ADDRESS, Int, read::<SOURCE, { Data::HttpErrRate as u8 }>),
    stick!("src_http_fail_cnt", "the requests with a failure of the server of the client's address", "src_http_fail_cnt(clients)", ADDRESS, Int, read::<SOURCE, { Data::HttpFailCnt as u8 }>),
    stick!("src_http_fail_rate", "the requests with a failure of the server per period of the client's address", "src_http_fail_rate(clients)", ADDRESS, Int, read::<SOURCE, { Data::HttpFailRate as u8 }>),
    stick!("src_http_req_cnt", "the requests of the client's address", "src_http_req_cnt(clients)", ADDRESS, Int, read::<SOURCE, { Data::HttpReqCnt as u8 }>),
    stick!("src_http_req_rate", "the requests per period of the client's address", "src_http_req_rate(clients)", ADDRESS, Int, read::<SOURCE, { Data::HttpReqRate as u8 }>),
    stick!("src_inc_gpc", "an element of the counters of the client's address after raising it", "src_inc_gpc(1,clients)", ADDRESS_ELEMENT, Int, raise::<SOURCE, { Data::Gpc as u8 }>),
    stick!("src_inc_gpc0", "the first general purpose counter of the client's address after raising it", "src_inc_gpc0(clients)", ADDRESS, Int, raise::<SOURCE, { Data::Gpc0 as u8 }>),
    stick!("src_inc_gpc1", "the second general purpose counter of the client's address after raising it", "src_inc_gpc1(clients)", ADDRESS, Int, raise::<SOURCE, { Data::Gpc1 as u8 }>),
    stick!("src_kbytes_in", "the kilobytes that clients sent of the client's address", "src_kbytes_in(clients)", ADDRESS, Int, kbytes::<SOURCE, { Data::BytesInCnt as u8 }>),
    stick!("src_kbytes_out", "the kilobytes that were sent to clients of the client's address", "src_kbytes_out(clients)", ADDRESS, Int, kbytes::<SOURCE, { Data::BytesOutCnt as u8 }>),
    stick!("src_sess_cnt", "the sessions of the client's address", "src_sess_cnt(clients)", ADDRESS, Int, read::<SOURCE, { Data::SessCnt as u8 }>),
    stick!("src_sess_rate", "the sessions per period of the client's address", "src_sess_rate(clients)", ADDRESS, Int, read::<SOURCE, { Data::SessRate as u8 }>),
    stick!("src_updt_conn_cnt", "the connections of the client's address after counting one more", "src_updt_conn_cnt(clients)", ADDRESS, Int, update),
];

/// Fetches about a table as a whole.
pub const TABLES: &[Row] = &[
    row(
        "table_avl",
        "[<table>]",
        "Returns how many entries a table has room for.",
        "table_avl(clients)",
        FetchSpec::one(Type::Int, Scope::Anywhere, available).args(ADDRESS.1, 0),
    ),
    row(
        "table_cnt",
        "[<table>]",
        "Returns how many entries a table has.",
        "table_cnt(clients)",
        FetchSpec::one(Type::Int, Scope::Anywhere, count).args(ADDRESS.1, 0),
    ),
];

/// How many times a few hundred expired entries of each part of a table are purged before it is counted.
const COUNT_ROUNDS: usize = 1;

/// Returns the index into an array and what is left of the arguments.
fn element(args: &[Arg], data: Data) -> (u32, &[Arg]) {
    match (data, args) {
        (Data::Gpc | Data::Gpt | Data::GpcRate, [Arg::Int(index), rest @ ..]) => {
            (u32::try_from(*index).unwrap_or(u32::MAX), rest)
        }
        _ => (0, args),
    }
}

/// Calls `f` with the entry that the arguments mean, if there is one. `make`: an address that is not in its table is
/// entered.
fn find<T>(
    source: u8,
    args: &[Arg],
    cx: &Context<'_>,
    make: bool,
    f: impl Fn(Option<&Entry>) -> Option<T>,
) -> Option<T> {
    let now_us = cx.tracking.now_us;
    if source == SOURCE {
        let Some(Arg::Table(index)) = args.first() else { return None };
        let table = cx.tracking.table(*index)?;
        let key = key(table, Value::Ip(cx.source()?.ip()))?;
        let entry = match make {
            true => Some(table.enter(key.as_slice(), now_us)?),
            false => table.find(key.as_slice(), now_us),
        };
        return f(entry.as_deref());
    }
    let (number, table) = match (source, args) {
        (COUNTER, [Arg::Int(number), rest @ ..]) => (*number as usize, rest.first()),
        _ => (usize::from(source), args.first()),
    };
    let of_other = |tracked: &Tracked| match table {
        Some(Arg::Table(index)) if *index != tracked.table => Some(*index),
        _ => None,
    };
    cx.tracking.with(number, |tracked| {
        let Some(other) = of_other(tracked) else { return f(Some(tracked.entry())) };
        // The same key, elsewhere.
        let table = cx.tracking.table(other)?;
        let kind = cx.tracking.table(tracked.table)?.spec().key;
        let key = key(table, value_of_key(kind, tracked.entry().key()));
        let entry = key.and_then(|key| table.find(key.as_slice(), now_us));
        f(entry.as_deref())
    })?
}

const fn data_of(number: u8) -> Data {
    TYPES[number as usize].1
}

fn read<'a, const FROM: u8, const DATA: u8>(
    args: &'a [Arg],
    cx: &'a Context<'_>,
) -> Option<Value<'a>> {
    let (index, rest) = element(args, data_of(DATA));
    find(FROM, rest, cx, false, |entry| value(entry, data_of(DATA), index, cx)).map(int)
}

/// Returns a value of an entry; without an entry it is 0.
fn value(entry: Option<&Entry>, data: Data, index: u32, cx: &Context<'_>) -> Option<u64> {
    match entry {
        Some(entry) => entry.read(data, index, cx.tracking.now_us),
        None => Some(0),
    }
}

fn kbytes<'a, const FROM: u8, const DATA: u8>(
    args: &'a [Arg],
    cx: &'a Context<'_>,
) -> Option<Value<'a>> {
    find(FROM, args, cx, false, |entry| value(entry, data_of(DATA), 0, cx))
        .map(|bytes| int(bytes >> 10))
}

fn raise<'a, const FROM: u8, const DATA: u8>(
    args: &'a [Arg],
    cx: &'a Context<'_>,
) -> Option<Value<'a>> {
    let (index, rest) = element(args, data_of(DATA));
    let raised = |entry: Option<&Entry>| {
        Some(entry.map_or(0, |entry| raise_entry(entry, data_of(DATA), index, cx)))
    };
    find(FROM, rest, cx, true, raised).map(int)
}

/// Raises a general purpose counter and its rate; returns it, the rate if only that is stored, or 0.
pub(in crate::rules) fn raise_entry(
    entry: &Entry,
    counter: Data,
    index: u32,
    cx: &Context<'_>,
) -> u64 {
    let rate = match counter {
        Data::Gpc0 => Data::Gpc0Rate,
        Data::Gpc1 => Data::Gpc1Rate,
        _ => Data::GpcRate,
    };
    let mut new = 0;
    entry.update(cx.tracking.now_us, |writer| {
        writer.add_at(counter, index, 1);
        writer.add_at(rate, index, 1);
        new = writer.read_at(counter, index).or_else(|| writer.read_at(rate, index)).unwrap_or(0);
    });
    new
}

fn clear<'a, const FROM: u8, const DATA: u8>(
    args: &'a [Arg],
    cx: &'a Context<'_>,
) -> Option<Value<'a>> {
    let (index, rest) = element(args, data_of(DATA));
    let cleared = |entry: Option<&Entry>| match entry {
        Some(entry) => clear_entry(entry, data_of(DATA), index, cx),
        None => Some(0),
    };
    find(FROM, rest, cx, true, cleared).map(int)
}

/// Clears a general purpose counter; returns what it was.
pub(in crate::rules) fn clear_entry(
    entry: &Entry,
    counter: Data,
    index: u32,
    cx: &Context<'_>,
) -> Option<u64> {
    let mut old = None;
    entry.update(cx.tracking.now_us, |writer| {
        old = writer.read_at(counter, index);
        writer.set_at(counter, index, 0);
    });
    old
}

fn update<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let counted = |entry: Option<&Entry>| {
        let entry = entry?;
        let mut new = None;
        entry.update(cx.tracking.now_us, |writer| {
            writer.add(Data::ConnCnt, 1);
            writer.add(Data::ConnRate, 1);
            new = writer.read_at(Data::ConnCnt, 0);
        });
        new
    };
    find(SOURCE, args, cx, true, counted).map(int)
}

fn tracked<'a, const FROM: u8>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let is = find(FROM, args, cx, false, |_| Some(true));
    Some(Value::Bool(is.is_some()))
}

fn trackers<'a, const FROM: u8>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    find(FROM, args, cx, false, |entry| Some(entry.map_or(0, Entry::trackers).into())).map(int)
}

fn own_key<'a, const FROM: u8>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let number = match (FROM, args) {
        (COUNTER, [Arg::Int(number), ..]) => *number as usize,
        _ => usize::from(FROM),
    };
    cx.tracking.with(number, |tracked| {
        let kind = cx.tracking.table(tracked.table)?.spec().key;
        Some(value_of_key(kind, tracked.entry().key()))
    })?
}

fn table<'a>(args: &[Arg], cx: &'a Context<'_>) -> Option<&'a Table> {
    let Some(Arg::Table(index)) = args.first() else { return None };
    let table = cx.tracking.table(*index)?;
    table.sweep(cx.tracking.now_us, COUNT_ROUNDS);
    Some(table)
}

fn count<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    table(args, cx).map(|table| Value::Int(table.used().into()))
}

fn available<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let table = table(args, cx)?;
    Some(Value::Int(table.spec().size.saturating_sub(table.used()).into()))
}
