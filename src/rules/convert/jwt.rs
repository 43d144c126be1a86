//! JSON Web Tokens: what they say, and whether their signature is right (manual 7.3.1).
//!
//! Keys are read once, at load. Only the signature is verified: expiry, issuer and audience are for rules to check.

use super::code::{decode_standard, decode_unpadded, decode_url_safe};
use super::json::{QUERY, check_path, find, query_type, steps, to_value, wants_int};
use super::{Call, Compiler, ConvertSpec, Prepared, Row, prepared, row};
use crate::config::diagnostic::Diagnostic;
use crate::rules::context::Context;
use crate::rules::sample::{Arg, ArgKind, Type, Value};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use std::borrow::Cow;
use std::sync::Arc;

const VERIFY: &[ArgKind] = &[
    ArgKind::OneOf(&[
        "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256",
        "PS384", "PS512", "none",
    ]),
    ArgKind::Str,
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
    Secret(hmac::Key),
    /// A public key.
    Public(Box<UnparsedPublicKey<Vec<u8>>>),
}

/// What is no token (`-3` in the manual's table).
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

fn verify<'a>(args: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    let Prepared::Key(key) = prepared(args)? else { return None };
    let text = value.into_bytes();
    Some(Value::Int(check(key, &text)))
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

/// Reads the key that `jwt_verify` names.
fn prepare(args: Box<[Arg]>, call: &Call<'_>, compiler: &mut Compiler<'_>) -> Option<Box<[Arg]>> {
    let (name, place) = (args[0].text()?, call.args.get(1).map_or(call.span, |arg| arg.span));
    let written = args[1].text()?;
    let key = if super::is_variable(written) {
        Err("a key in a variable is not supported yet".to_string())
    } else {
        key(name, written, compiler)
    };
    match key {
        Ok(key) => Some([Arg::Prepared(Arc::new(Prepared::Key(key)))].into()),
        Err(message) => {
            compiler.diagnostics.push(Diagnostic::error(place, message));
            None
        }
    }
}

fn key(name: &[u8], written: &[u8], compiler: &Compiler<'_>) -> Result<Key, String> {
    let secret = match name {
        b"none" => return Ok(Key::None),
        b"HS256" => Some(hmac::HMAC_SHA256),
        b"HS384" => Some(hmac::HMAC_SHA384),
        b"HS512" => Some(hmac::HMAC_SHA512),
        _ => None,
    };
    if let Some(algorithm) = secret {
        return Ok(Key::Secret(hmac::Key::new(algorithm, written)));
    }
    let algorithm: &'static dyn VerificationAlgorithm = match name {
        b"RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
        b"RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
        b"RS512" => &signature::RSA_PKCS1_2048_8192_SHA512,
        b"PS256" => &signature::RSA_PSS_2048_8192_SHA256,
        b"PS384" => &signature::RSA_PSS_2048_8192_SHA384,
        b"PS512" => &signature::RSA_PSS_2048_8192_SHA512,
        b"ES256" => &signature::ECDSA_P256_SHA256_FIXED,
        b"ES384" => &signature::ECDSA_P384_SHA384_FIXED,
        _ => &signature::ECDSA_P521_SHA512_FIXED,
    };
    let path = String::from_utf8_lossy(written);
    let file = compiler
        .names
        .read_file(&path)
        .map_err(|why| format!("cannot read the key file `{path}`: {why}"))?;
    let der = public_key(&file)
        .ok_or_else(|| format!("`{path}` holds no public key and no certificate in PEM form"))?;
    let key = UnparsedPublicKey::new(algorithm, der);
    // A key of another kind than the algorithm's would only fail later, token by token.
    key.parse().map_err(|_| {
        let name = String::from_utf8_lossy(name);
        format!("the key in `{path}` cannot verify {name} signatures")
    })?;
    Ok(Key::Public(Box::new(key)))
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
