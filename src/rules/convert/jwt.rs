//! JSON Web Tokens: what they say, and whether their signature is right (manual 7.3.1).
//!
//! Keys are read once, at load. Only the signature is verified: expiry, issuer and audience are for rules to check.

use super::code::{decode_standard, decode_unpadded, decode_url_safe};
use super::json::{QUERY, check_path, find, query_type, steps, to_value, wants_int};
use super::{Call, Compiler, ConvertSpec, Prepared, Row, prepared, row};
use crate::config::diagnostic::Diagnostic;
use crate::rules::Names;
use crate::rules::context::Context;
use crate::rules::sample::{Arg, ArgKind, Type, Value};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use std::borrow::Cow;
use std::sync::Arc;

const VERIFY: &[ArgKind] = &[ArgKind::TextOrVariable, ArgKind::TextOrVariable];

const ALGORITHMS: &[&str] = &[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256",
    "PS384", "PS512", "none",
];

const fn part(eval: super::Eval) -> ConvertSpec {
    ConvertSpec::new(Type::Bin, Type::Str, eval).args(QUERY, 0).check(check_path).typed(query_type)
}

/// Converters of JSON Web Tokens.
pub const TABLE: &[Row] = &[
    row(
        "jwt_header_query",
        "[<json_path>],[<output_type>]",
        "Returns the header of a JSON Web Token, or what a path leads to in it.",
        "req.hdr(authorization),word(2,' '),jwt_header_query('$.alg')",
        part(|a, v, _| section(a, v, 0)),
    ),
    row(
        "jwt_payload_query",
        "[<json_path>],[<output_type>]",
        "Returns the payload of a JSON Web Token, or what a path leads to in it.",
        "req.hdr(authorization),word(2,' '),jwt_payload_query('$.iss')",
        part(|a, v, _| section(a, v, 1)),
    ),
    row(
        "jwt_verify",
        "<alg>,<key>",
        "Verifies the signature of a JSON Web Token with a secret (HS…) or the public key or certificate in a file (RS…, ES…, PS…): 1 for a right one, 0 for a wrong one, -3 for what is no token.",
        "req.hdr(authorization),word(2,' '),jwt_verify(HS256,secret)",
        ConvertSpec::new(Type::Bin, Type::Int, verify).args(VERIFY, 2).build(prepare),
    ),
];

/// What verifies a signature.
#[derive(Debug)]
pub enum Key {
    /// `none` verifies nothing.
    None,
    /// A secret.
    Secret(Box<hmac::Key>),
    /// A public key.
    Public(Box<UnparsedPublicKey<Vec<u8>>>),
}

/// An algorithm that a variable holds and nobody knows (`-1` in the manual's table).
const UNKNOWN_ALGORITHM: i64 = -1;

/// No key for such an algorithm (`-5`).
const UNKNOWN_KEY: i64 = -5;

/// What is no token (`-3`).
const INVALID: i64 = -3;

fn section<'a>(args: &'a [Arg], value: Value<'a>, index: usize) -> Option<Value<'a>> {
    let text = value.into_bytes();
    let part = text.split(|byte| *byte == b'.').nth(index)?;
    let json = decode_url_safe(part)?;
    match steps(args) {
        None => Some(Value::Str(Cow::Owned(json))),
        Some(steps) => to_value(find(&json, steps)?, wants_int(args)),
    }
}

fn verify<'a>(args: &'a [Arg], value: Value<'a>, cx: &'a Context<'_>) -> Option<Value<'a>> {
    let text = value.into_bytes();
    if let Some(Prepared::Key(key)) = prepared(args) {
        return Some(Value::Int(check(key, &text)));
    }
    let name = super::text_of(args, 0, cx)?;
    if !ALGORITHMS.iter().any(|known| known.as_bytes() == &*name) {
        return Some(Value::Int(UNKNOWN_ALGORITHM));
    }
    let key = match args.get(2) {
        // A key from a file is a public one: taken for a secret, whoever knows the file could sign.
        Some(Arg::Str(der)) => public(&name, der),
        _ => secret(&name, &super::text_of(args, 1, cx)?),
    };
    Some(Value::Int(key.map_or(UNKNOWN_KEY, |key| check(&key, &text))))
}

/// Returns 1, 0 or [`INVALID`].
fn check(key: &Key, token: &[u8]) -> i64 {
    let Some(dot) = memchr::memrchr(b'.', token) else { return INVALID };
    let (signed, written) = (&token[..dot], &token[dot + 1..]);
    let dots = signed.iter().filter(|byte| **byte == b'.').count();
    if dots != 1 || written.is_empty() {
        return INVALID;
    }
    // Padding has no place in a token (RFC 7515, section 2): with it, one token would have several forms.
    let Some(signature) = decode_unpadded(written) else {
        return if written.ends_with(b"=") { 0 } else { INVALID };
    };
    let right = match key {
        Key::None => false,
        Key::Secret(key) => hmac::verify(key, signed, &signature).is_ok(),
        Key::Public(key) => key.verify(signed, &signature).is_ok(),
    };
    i64::from(right)
}

/// Reads the key that `jwt_verify` names, unless a variable holds it.
fn prepare(args: Box<[Arg]>, call: &Call<'_>, compiler: &mut Compiler<'_>) -> Option<Box<[Arg]>> {
    let mut wrong = |at: usize, message: String| {
        let span = call.args.get(at).map_or(call.span, |arg| arg.span);
        compiler.diagnostics.push(Diagnostic::error(span, message));
        None
    };
    let name = args[0].text();
    if let Some(name) = name.filter(|name| !ALGORITHMS.iter().any(|a| a.as_bytes() == *name)) {
        let name = String::from_utf8_lossy(name);
        return wrong(
            0,
            format!("unknown algorithm `{name}`: expected one of `{}`", ALGORITHMS.join("`, `")),
        );
    }
    let Some(written) = args[1].text() else { return Some(args) };
    let key = match name {
        None => {
            // A file of a public key, or else a secret.
            let path = String::from_utf8_lossy(written);
            return match compiler.names.read_file(&path).ok().and_then(|file| public_key(&file)) {
                Some(der) => Some([args[0].clone(), args[1].clone(), Arg::Str(der.into())].into()),
                None => Some(args),
            };
        }
        Some(name) => match secret(name, written) {
            Some(key) => Ok(key),
            None => from_file(name, written, compiler.names),
        },
    };
    match key {
        Ok(key) => Some([Arg::Prepared(Arc::new(Prepared::Key(key)))].into()),
        Err(message) => wrong(1, message),
    }
}

/// Returns the key of an algorithm that takes a secret.
fn secret(name: &[u8], written: &[u8]) -> Option<Key> {
    let algorithm = match name {
        b"none" => return Some(Key::None),
        b"HS256" => hmac::HMAC_SHA256,
        b"HS384" => hmac::HMAC_SHA384,
        b"HS512" => hmac::HMAC_SHA512,
        _ => return None,
    };
    Some(Key::Secret(Box::new(hmac::Key::new(algorithm, written))))
}

/// Returns the key of an algorithm that takes a public key, if this is one for it.
fn public(name: &[u8], der: &[u8]) -> Option<Key> {
    let algorithm: &'static dyn VerificationAlgorithm = match name {
        b"RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
        b"RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
        b"RS512" => &signature::RSA_PKCS1_2048_8192_SHA512,
        b"PS256" => &signature::RSA_PSS_2048_8192_SHA256,
        b"PS384" => &signature::RSA_PSS_2048_8192_SHA384,
        b"PS512" => &signature::RSA_PSS_2048_8192_SHA512,
        b"ES256" => &signature::ECDSA_P256_SHA256_FIXED,
        b"ES384" => &signature::ECDSA_P384_SHA384_FIXED,
        b"ES512" => &signature::ECDSA_P521_SHA512_FIXED,
        _ => return None,
    };
    let key = UnparsedPublicKey::new(algorithm, der.to_vec());
    // A key of another kind than the algorithm's would only fail later, token by token.
    key.parse().ok()?;
    Some(Key::Public(Box::new(key)))
}

fn from_file(name: &[u8], written: &[u8], names: &dyn Names) -> Result<Key, String> {
    let path = String::from_utf8_lossy(written);
    let file = names
        .read_file(&path)
        .map_err(|why| format!("cannot read the key file `{path}`: {why}"))?;
    let der = public_key(&file)
        .ok_or_else(|| format!("`{path}` holds no public key and no certificate in PEM form"))?;
    public(name, &der).ok_or_else(|| {
        let name = String::from_utf8_lossy(name);
        format!("the key in `{path}` cannot verify {name} signatures")
    })
}

/// Returns the public key (SubjectPublicKeyInfo, DER) of the first PEM block of a file.
fn public_key(file: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(file).ok()?;
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once("-----END ")?;
    let body: Vec<u8> = body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let der = decode_standard(&body)?;
    match label {
        "PUBLIC KEY" | "RSA PUBLIC KEY" => Some(der),
        "CERTIFICATE" => of_certificate(&der).map(<[u8]>::to_vec),
        _ => None,
    }
}

/// Returns the public key inside a certificate: the seventh field, or the sixth where no version is given
/// (RFC 5280, section 4.1).
fn of_certificate(der: &[u8]) -> Option<&[u8]> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let certificate = element(der)?.1;
    let mut rest = element(certificate)?.1;
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    // Serial number, signature algorithm, issuer, validity, subject.
    for _ in 0..5 {
        rest = element(rest)?.2;
    }
    let (whole, ..) = element(rest)?;
    (whole.first() == Some(&SEQUENCE)).then_some(whole)
}

/// Cuts one DER element off: all of it, its contents, and what follows.
fn element(der: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (&first, mut at) = (der.get(1)?, 2);
    let length = if first < 0x80 {
        usize::from(first)
    } else {
        let digits = usize::from(first & 0x7f);
        at += digits;
        let bytes = der.get(2..at).filter(|_| (1..=4).contains(&digits))?;
        bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
    };
    let end = at.checked_add(length)?;
    Some((der.get(..end)?, der.get(at..end)?, der.get(end..)?))
}
