//! The first messages of MQTT 3.1, 3.1.1 and 5.0: CONNECT and CONNACK (manual 7.3.1).

use super::{ConvertSpec, Row, row};
use crate::rules::context::Context;
use crate::rules::sample::{Arg, ArgKind, Type, Value};
use std::borrow::Cow;

/// Converters of MQTT messages.
pub const TABLE: &[Row] = &[
    row(
        "mqtt_field_value",
        "<packettype>,<fieldname_or_property_ID>",
        "Returns a field or, of version 5.0, a property of an MQTT CONNECT or CONNACK packet.",
        "bin(20020000),mqtt_field_value(connack,reason_code)",
        ConvertSpec::new(Type::Bin, Type::Str, field_value)
            .args(&[ArgKind::Str, ArgKind::Str], 2)
            .check(check),
    ),
    row(
        "mqtt_is_valid",
        "",
        "Returns whether the bytes begin with a valid MQTT CONNECT or CONNACK packet.",
        "bin(20020000),mqtt_is_valid",
        ConvertSpec::new(Type::Bin, Type::Bool, |_, v, _| match parse(&v.into_bytes()) {
            Ok(_) => Some(Value::Bool(true)),
            Err(Bad::Invalid) => Some(Value::Bool(false)),
            Err(Bad::Incomplete) => None,
        }),
    ),
];

const CONNECT: u8 = 1;
const CONNACK: u8 = 2;

/// Fields by packet, and their number in [`Packet::fields`].
const FIELDS: &[(&str, u8, Name)] = &[
    ("flags", CONNECT, Name::Flags),
    ("protocol_name", CONNECT, Name::Protocol),
    ("protocol_version", CONNECT, Name::Version),
    ("client_identifier", CONNECT, Name::Client),
    ("will_topic", CONNECT, Name::WillTopic),
    ("will_payload", CONNECT, Name::WillPayload),
    ("username", CONNECT, Name::User),
    ("password", CONNECT, Name::Password),
    ("keepalive", CONNECT, Name::KeepAlive),
    ("flags", CONNACK, Name::Flags),
    ("protocol_version", CONNACK, Name::Version),
    ("reason_code", CONNACK, Name::Reason),
];

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Flags,
    Protocol,
    Version,
    Client,
    WillTopic,
    WillPayload,
    User,
    Password,
    KeepAlive,
    Reason,
}

/// How a property is written (MQTT 5.0, section 2.2.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Byte,
    Two,
    Four,
    Bytes,
    Pair,
}

/// In which lists a property may stand.
const IN_CONNECT: u8 = 1;
const IN_WILL: u8 = 2;
const IN_CONNACK: u8 = 4;

/// Number, form and lists of the properties of these packets.
const PROPERTIES: &[(u8, Form, u8)] = &[
    (1, Form::Byte, IN_WILL),
    (2, Form::Four, IN_WILL),
    (3, Form::Bytes, IN_WILL),
    (8, Form::Bytes, IN_WILL),
    (9, Form::Bytes, IN_WILL),
    (17, Form::Four, IN_CONNECT | IN_CONNACK),
    (18, Form::Bytes, IN_CONNACK),
    (19, Form::Two, IN_CONNACK),
    (21, Form::Bytes, IN_CONNECT | IN_CONNACK),
    (22, Form::Bytes, IN_CONNECT | IN_CONNACK),
    (23, Form::Byte, IN_CONNECT),
    (24, Form::Four, IN_WILL),
    (25, Form::Byte, IN_CONNECT),
    (26, Form::Bytes, IN_CONNACK),
    (28, Form::Bytes, IN_CONNACK),
    (31, Form::Bytes, IN_CONNACK),
    (33, Form::Two, IN_CONNECT | IN_CONNACK),
    (34, Form::Two, IN_CONNECT | IN_CONNACK),
    (36, Form::Byte, IN_CONNACK),
    (37, Form::Byte, IN_CONNACK),
    (38, Form::Pair, IN_CONNECT | IN_WILL | IN_CONNACK),
    (39, Form::Four, IN_CONNECT | IN_CONNACK),
    (40, Form::Byte, IN_CONNACK),
    (41, Form::Byte, IN_CONNACK),
    (42, Form::Byte, IN_CONNACK),
];

/// Most properties of a packet.
const PROPERTIES_MAX: usize = PROPERTIES.len();

fn check(args: &mut [Arg]) -> Result<(), (usize, String)> {
    let text = |arg: &Arg| String::from_utf8_lossy(arg.text().unwrap_or(b"")).to_ascii_lowercase();
    let (packet, field) = (text(&args[0]), text(&args[1]));
    let kind = match packet.as_str() {
        "connect" | "1" => CONNECT,
        "connack" | "2" => CONNACK,
        _ => {
            let message =
                format!("unknown packet type `{packet}`: expected `connect` or `connack`");
            return Err((0, message));
        }
    };
    let lists = if kind == CONNECT { IN_CONNECT | IN_WILL } else { IN_CONNACK };
    let is_property = |number: &i64| {
        PROPERTIES.iter().any(|(id, _, places)| i64::from(*id) == *number && places & lists != 0)
    };
    let number = match field.parse::<i64>().ok() {
        Some(number) => Some(number).filter(is_property),
        // Below the properties: the index of a named field, less than 0.
        None => FIELDS
            .iter()
            .position(|(name, packet, _)| *name == field && *packet == kind)
            .map(|at| -1 - at as i64),
    };
    let Some(number) = number else {
        let names = FIELDS.iter().filter(|row| row.1 == kind).map(|row| row.0);
        let names = names.collect::<Vec<_>>().join("`, `");
        let message = format!(
            "`{field}` is no field of such a packet: expected the number of a property or one of `{names}`"
        );
        return Err((1, message));
    };
    args[0] = Arg::Int(kind.into());
    args[1] = Arg::Int(number);
    Ok(())
}

/// Why bytes are no packet.
enum Bad {
    /// They may become one.
    Incomplete,
    Invalid,
}

/// What a packet holds.
struct Packet<'p> {
    kind: u8,
    flags: u8,
    version: u8,
    reason: u8,
    keep_alive: u16,
    protocol: &'p [u8],
    client: &'p [u8],
    will: Option<(&'p [u8], &'p [u8])>,
    user: Option<&'p [u8]>,
    password: Option<&'p [u8]>,
    properties: Vec<(u8, Property<'p>)>,
}

#[derive(Clone, Copy)]
enum Property<'p> {
    Number(u32),
    Bytes(&'p [u8]),
}

fn field_value<'a>(args: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    let bytes = value.into_bytes();
    let packet = parse(&bytes).ok().filter(|packet| Some(packet.kind.into()) == args[0].int())?;
    let number = args.get(1)?.int()?;
    let text = |text: &[u8]| Some(Value::Str(Cow::Owned(text.to_vec())));
    let int = |number: i64| Some(Value::Int(number));
    if number >= 0 {
        let (_, found) = packet.properties.iter().find(|(id, _)| i64::from(*id) == number)?;
        return match found {
            Property::Number(number) => int((*number).into()),
            Property::Bytes(bytes) => text(bytes),
        };
    }
    let at = usize::try_from(-1 - number).ok()?;
    match FIELDS.get(at)?.2 {
        Name::Flags => int(packet.flags.into()),
        Name::Protocol => text(packet.protocol),
        Name::Version => int(packet.version.into()),
        Name::Client => text(packet.client),
        Name::WillTopic => text(packet.will?.0),
        Name::WillPayload => text(packet.will?.1),
        Name::User => text(packet.user?),
        Name::Password => text(packet.password?),
        Name::KeepAlive => int(packet.keep_alive.into()),
        Name::Reason => int(packet.reason.into()),
    }
}

fn parse(bytes: &[u8]) -> Result<Packet<'_>, Bad> {
    let mut all = Reader { rest: bytes, inside: false };
    let first = all.byte()?;
    let length = all.number()?;
    let body = all.take(length)?;
    let mut reader = Reader { rest: body, inside: true };
    match first {
        0x10 => connect(&mut reader),
        // The answer to CONNECT stands alone: the client has nothing else to be told yet.
        0x20 if all.rest.is_empty() => connack(&mut reader),
        _ => Err(Bad::Invalid),
    }
}

fn connect<'p>(reader: &mut Reader<'p>) -> Result<Packet<'p>, Bad> {
    let protocol = reader.bytes()?;
    let version = reader.byte()?;
    if !matches!(protocol, b"MQTT" | b"MQIsdp") || !matches!(version, 3..=5) {
        return Err(Bad::Invalid);
    }
    let flags = reader.byte()?;
    if flags & 1 != 0 {
        return Err(Bad::Invalid);
    }
    let keep_alive = reader.two()?;
    let mut properties = Vec::new();
    if version == 5 {
        read_properties(reader, IN_CONNECT, &mut properties)?;
    }
    let client = reader.bytes()?;
    let mut will = None;
    if flags & 0x04 != 0 {
        if version == 5 {
            read_properties(reader, IN_WILL, &mut properties)?;
        }
        will = Some((reader.bytes()?, reader.bytes()?));
    }
    let user = (flags & 0x80 != 0).then(|| reader.bytes()).transpose()?;
    let password = (flags & 0x40 != 0).then(|| reader.bytes()).transpose()?;
    if !reader.rest.is_empty() {
        return Err(Bad::Invalid);
    }
    Ok(Packet {
        kind: CONNECT,
        flags,
        version,
        reason: 0,
        keep_alive,
        protocol,
        client,
        will,
        user,
        password,
        properties,
    })
}

fn connack<'p>(reader: &mut Reader<'p>) -> Result<Packet<'p>, Bad> {
    let (flags, reason) = (reader.byte()?, reader.byte()?);
    if flags > 1 {
        return Err(Bad::Invalid);
    }
    let mut properties = Vec::new();
    let version = if reader.rest.is_empty() {
        4
    } else {
        read_properties(reader, IN_CONNACK, &mut properties)?;
        5
    };
    if !reader.rest.is_empty() {
        return Err(Bad::Invalid);
    }
    Ok(Packet {
        kind: CONNACK,
        flags,
        version,
        reason,
        keep_alive: 0,
        protocol: b"",
        client: b"",
        will: None,
        user: None,
        password: None,
        properties,
    })
}

/// Reads a list of properties, each at most once but the user's own.
fn read_properties<'p>(
    reader: &mut Reader<'p>,
    list: u8,
    out: &mut Vec<(u8, Property<'p>)>,
) -> Result<(), Bad> {
    let length = reader.number()?;
    let mut reader = Reader { rest: reader.take(length)?, inside: true };
    while !reader.rest.is_empty() {
        let id = reader.byte()?;
        let row = PROPERTIES.iter().find(|(known, _, lists)| *known == id && lists & list != 0);
        let (_, form, _) = row.ok_or(Bad::Invalid)?;
        if *form == Form::Pair {
            reader.bytes()?;
            reader.bytes()?;
            continue;
        }
        let value = match form {
            Form::Byte => Property::Number(reader.byte()?.into()),
            Form::Two => Property::Number(reader.two()?.into()),
            Form::Four => {
                Property::Number(u32::from(reader.two()?) << 16 | u32::from(reader.two()?))
            }
            Form::Bytes | Form::Pair => Property::Bytes(reader.bytes()?),
        };
        let impossible = match (id, value) {
            // The flags are 0 or 1; neither may nothing be received nor a packet have no size.
            (1 | 23 | 25 | 36 | 37 | 40 | 41 | 42, Property::Number(number)) => number > 1,
            (33 | 39, Property::Number(number)) => number == 0,
            _ => false,
        };
        let twice = out.iter().any(|(known, _)| *known == id);
        if impossible || twice || out.len() >= PROPERTIES_MAX {
            return Err(Bad::Invalid);
        }
        out.push((id, value));
    }
    Ok(())
}

/// Reads a packet from front to back.
struct Reader<'p> {
    rest: &'p [u8],
    /// Whether these are all bytes that the packet has.
    inside: bool,
}

impl<'p> Reader<'p> {
    fn missing(&self) -> Bad {
        if self.inside { Bad::Invalid } else { Bad::Incomplete }
    }

    fn take(&mut self, length: usize) -> Result<&'p [u8], Bad> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(self.missing())?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Bad> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn two(&mut self) -> Result<u16, Bad> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// Reads bytes with their length before them.
    fn bytes(&mut self) -> Result<&'p [u8], Bad> {
        let length = self.two()?;
        self.take(length.into())
    }

    /// Reads a number of one to four bytes with seven bits each.
    fn number(&mut self) -> Result<usize, Bad> {
        let mut number = 0;
        for at in 0..4 {
            let byte = self.byte()?;
            number |= usize::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Bad::Invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_valid_or_not(
            first in prop_oneof![Just(0x10u8), Just(0x20u8), any::<u8>()],
            rest in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let mut bytes = vec![first, rest.len() as u8];
            bytes.extend_from_slice(&rest);
            let _ = parse(&bytes);
        }
    }
}
