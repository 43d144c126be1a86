//! Converters that look their value up as a key of a stick table (manual 7.3.1, `in_table`, `table_…`).
//!
//! What is not in the table counts as 0, but for the times `table_expire` and `table_idle`, which then yield nothing or the
//! default that was given. A look-up does not refresh an entry; raising or clearing a counter makes and refreshes one.

use super::{ConvertSpec, Row, row};
use crate::rules::context::Context;
use crate::rules::fetch::stick::{clear_entry, raise_entry};
use crate::rules::sample::{Arg, ArgKind, Type, Value};
use crate::rules::stick::{int, key};
use crate::stick::data::TYPES;
use crate::stick::{Data, Entry, Table};
use std::sync::Arc;

const PLAIN: (&str, &[ArgKind], usize) = ("[<table>]", &[ArgKind::Table], 0);
const ELEMENT: (&str, &[ArgKind], usize) =
    ("<index>[,<table>]", &[ArgKind::Int, ArgKind::Table], 1);
const DEFAULTED: (&str, &[ArgKind], usize) =
    ("[<table>][,<default>]", &[ArgKind::Table, ArgKind::Int], 0);

/// A row: name, what it says of the key, an example, its arguments, its type, and what reads it.
macro_rules! table {
    ($name:literal, $doc:literal, $example:literal, $args:ident, $type:ident, $eval:expr) => {
        row(
            $name,
            $args.0,
            concat!("Returns ", $doc, "."),
            $example,
            ConvertSpec::new(Type::Any, Type::$type, $eval).args($args.1, $args.2),
        )
    };
}

/// Converters that look up a key.
#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    table!("in_table", "whether the value is a key of a table", "src,in_table(clients)", PLAIN, Bool, in_table),
    table!("table_bytes_in_rate", "the bytes per period that clients sent of a key", "src,table_bytes_in_rate(clients)", PLAIN, Int, read::<{ Data::BytesInRate as u8 }>),
    table!("table_bytes_out_rate", "the bytes per period that were sent to clients of a key", "src,table_bytes_out_rate(clients)", PLAIN, Int, read::<{ Data::BytesOutRate as u8 }>),
    table!("table_clr_gpc", "an element of the counters of a key, and clears it", "src,table_clr_gpc(1,clients)", ELEMENT, Int, clear::<{ Data::Gpc as u8 }>),
    table!("table_clr_gpc0", "the first general purpose counter of a key, and clears it", "src,table_clr_gpc0(clients)", PLAIN, Int, clear::<{ Data::Gpc0 as u8 }>),
    table!("table_clr_gpc1", "the second general purpose counter of a key, and clears it", "src,table_clr_gpc1(clients)", PLAIN, Int, clear::<{ Data::Gpc1 as u8 }>),
    table!("table_conn_cnt", "the connections of a key", "src,table_conn_cnt(clients)", PLAIN, Int, read::<{ Data::ConnCnt as u8 }>),
    table!("table_conn_cur", "the current connections of a key", "src,table_conn_cur(clients)", PLAIN, Int, read::<{ Data::ConnCur as u8 }>),
    table!("table_conn_rate", "the connections per period of a key", "src,table_conn_rate(clients)", PLAIN, Int, read::<{ Data::ConnRate as u8 }>),
    table!("table_expire", "in how many milliseconds a key expires", "src,table_expire(clients)", DEFAULTED, Int, expire),
    table!("table_glitch_cnt", "the oddities of protocols of a key", "src,table_glitch_cnt(clients)", PLAIN, Int, read::<{ Data::GlitchCnt as u8 }>),
    table!("table_glitch_rate", "the oddities of protocols per period of a key", "src,table_glitch_rate(clients)", PLAIN, Int, read::<{ Data::GlitchRate as u8 }>),
    table!("table_gpc", "an element of the counters of a key", "src,table_gpc(1,clients)", ELEMENT, Int, read::<{ Data::Gpc as u8 }>),
    table!("table_gpc0", "the first general purpose counter of a key", "src,table_gpc0(clients)", PLAIN, Int, read::<{ Data::Gpc0 as u8 }>),
    table!("table_gpc0_rate", "how often per period the first general purpose counter was raised of a key", "src,table_gpc0_rate(clients)", PLAIN, Int, read::<{ Data::Gpc0Rate as u8 }>),
    table!("table_gpc1", "the second general purpose counter of a key", "src,table_gpc1(clients)", PLAIN, Int, read::<{ Data::Gpc1 as u8 }>),
    table!("table_gpc1_rate", "how often per period the second general purpose counter was raised of a key", "src,table_gpc1_rate(clients)", PLAIN, Int, read::<{ Data::Gpc1Rate as u8 }>),
    table!("table_gpc_rate", "how often per period an element of the counters was raised of a key", "src,table_gpc_rate(1,clients)", ELEMENT, Int, read::<{ Data::GpcRate as u8 }>),
    table!("table_gpt", "an element of the tags of a key", "src,table_gpt(1,clients)", ELEMENT, Int, read::<{ Data::Gpt as u8 }>),
    table!("table_gpt0", "the first general purpose tag of a key", "src,table_gpt0(clients)", PLAIN, Int, read::<{ Data::Gpt0 as u8 }>),
    table!("table_http_err_cnt", "the requests with an error of the client of a key", "src,table_http_err_cnt(clients)", PLAIN, Int, read::<{ Data::HttpErrCnt as u8 }>),
    table!("table_http_err_rate", "the requests with an error of the client per period of a key", "src,table_http_err_rate(clients)", PLAIN, Int, read::<{ Data::HttpErrRate as u8 }>),
    table!("table_http_fail_cnt", "the requests with a failure of the server of a key", "src,table_http_fail_cnt(clients)", PLAIN, Int, read::<{ Data::HttpFailCnt as u8 }>),
    table!("table_http_fail_rate", "the requests with a failure of the server per period of a key", "src,table_http_fail_rate(clients)", PLAIN, Int, read::<{ Data::HttpFailRate as u8 }>),
    table!("table_http_req_cnt", "the requests of a key", "src,table_http_req_cnt(clients)", PLAIN, Int, read::<{ Data::HttpReqCnt as u8 }>),
    table!("table_http_req_rate", "the requests per period of a key", "src,table_http_req_rate(clients)", PLAIN, Int, read::<{ Data::HttpReqRate as u8 }>),
    table!("table_idle", "for how many milliseconds a key was not used", "src,table_idle(clients)", DEFAULTED, Int, idle),
    table!("table_inc_gpc", "an element of the counters of a key after raising it", "src,table_inc_gpc(1,clients)", ELEMENT, Int, raise::<{ Data::Gpc as u8 }>),
    table!("table_inc_gpc0", "the first general purpose counter of a key after raising it", "src,table_inc_gpc0(clients)", PLAIN, Int, raise::<{ Data::Gpc0 as u8 }>),
    table!("table_inc_gpc1", "the second general purpose counter of a key after raising it", "src,table_inc_gpc1(clients)", PLAIN, Int, raise::<{ Data::Gpc1 as u8 }>),
    table!("table_kbytes_in", "the kilobytes that clients sent of a key", "src,table_kbytes_in(clients)", PLAIN, Int, kbytes::<{ Data::BytesInCnt as u8 }>),
    table!("table_kbytes_out", "the kilobytes that were sent to clients of a key", "src,table_kbytes_out(clients)", PLAIN, Int, kbytes::<{ Data::BytesOutCnt as u8 }>),
    table!("table_server_id", "the number of the server that a key is stuck to", "src,table_server_id(clients)", PLAIN, Int, read::<{ Data::ServerId as u8 }>),
    table!("table_sess_cnt", "the sessions of a key", "src,table_sess_cnt(clients)", PLAIN, Int, read::<{ Data::SessCnt as u8 }>),
    table!("table_sess_rate", "the sessions per period of a key", "src,table_sess_rate(clients)", PLAIN, Int, read::<{ Data::SessRate as u8 }>),
    table!("table_trackers", "how many streams and sessions track a key", "src,table_trackers(clients)", PLAIN, Int, trackers),
];

const fn data_of(number: u8) -> Data {
    TYPES[number as usize].1
}

/// Returns the index into an array, and the table that an argument names.
fn place<'a>(args: &[Arg], cx: &'a Context<'_>) -> Option<(u32, &'a Table)> {
    match args {
        [Arg::Table(table), ..] => Some((0, cx.tracking.table(*table)?)),
        [Arg::Int(index), Arg::Table(table), ..] => {
            Some((u32::try_from(*index).unwrap_or(u32::MAX), cx.tracking.table(*table)?))
        }
        _ => None,
    }
}

fn find(table: &Table, value: Value<'_>, cx: &Context<'_>) -> Option<Option<Arc<Entry>>> {
    Some(table.find(key(table, value)?.as_slice(), cx.tracking.now_us))
}

fn in_table<'a>(args: &'a [Arg], value: Value<'a>, cx: &'a Context<'_>) -> Option<Value<'a>> {
    let (_, table) = place(args, cx)?;
    Some(Value::Bool(find(table, value, cx)?.is_some()))
}

fn number(args: &[Arg], value: Value<'_>, cx: &Context<'_>, data: Data) -> Option<u64> {
    let (index, table) = place(args, cx)?;
    match find(table, value, cx)? {
        Some(entry) => entry.read(data, index, cx.tracking.now_us),
        None => Some(0),
    }
}

fn read<'a, const DATA: u8>(
    args: &'a [Arg],
    value: Value<'a>,
    cx: &'a Context<'_>,
) -> Option<Value<'a>> {
    number(args, value, cx, data_of(DATA)).map(int)
}

fn kbytes<'a, const DATA: u8>(
    args: &'a [Arg],
    value: Value<'a>,
    cx: &'a Context<'_>,
) -> Option<Value<'a>> {
    number(args, value, cx, data_of(DATA)).map(|bytes| int(bytes >> 10))
}

fn raise<'a, const DATA: u8>(
    args: &'a [Arg],
    value: Value<'a>,
    cx: &'a Context<'_>,
) -> Option<Value<'a>> {
    let (index, table) = place(args, cx)?;
    let entry = table.enter(key(table, value)?.as_slice(), cx.tracking.now_us)?;
    Some(int(raise_entry(&entry, data_of(DATA), index, cx)))
}

fn clear<'a, const DATA: u8>(
    args: &'a [Arg],
    value: Value<'a>,
    cx: &'a Context<'_>,
) -> Option<Value<'a>> {
    let (index, table) = place(args, cx)?;
    let entry = table.enter(key(table, value)?.as_slice(), cx.tracking.now_us)?;
    clear_entry(&entry, data_of(DATA), index, cx).map(int)
}

fn trackers<'a>(args: &'a [Arg], value: Value<'a>, cx: &'a Context<'_>) -> Option<Value<'a>> {
    let (_, table) = place(args, cx)?;
    let entry = find(table, value, cx)?;
    Some(int(entry.map_or(0, |entry| entry.trackers()).into()))
}

/// Returns a time of an entry in milliseconds, or the default.
fn time<'a>(
    args: &[Arg],
    value: Value<'_>,
    cx: &Context<'_>,
    us: impl Fn(&Table, &Entry) -> u64,
) -> Option<Value<'a>> {
    let (_, table) = place(args, cx)?;
    match find(table, value, cx)? {
        Some(entry) => Some(int(us(table, &entry) / 1000)),
        None => args.get(1).and_then(Arg::int).map(Value::Int),
    }
}

fn expire<'a>(args: &'a [Arg], value: Value<'a>, cx: &'a Context<'_>) -> Option<Value<'a>> {
    time(args, value, cx, |table, entry| table.left_us(entry, cx.tracking.now_us))
}

fn idle<'a>(args: &'a [Arg], value: Value<'a>, cx: &'a Context<'_>) -> Option<Value<'a>> {
    time(args, value, cx, |_, entry| cx.tracking.now_us.saturating_sub(entry.touched_us()))
}
