//! Converters that digest, authenticate and encrypt (manual 7.3.1): keys are checked and prepared at load.
//!
//! All of it is done by the library that rustls uses; an algorithm that it leaves out for being broken, MD5 for one, is
//! refused by name.

use super::code::{decode_standard, encode_standard};
use super::{ConvertSpec, Prepared, Row, prepared, row};
use crate::rules::context::Context;
use crate::rules::sample::{Arg, ArgKind, Type, Value};
use crate::rules::variable::Conditions;
use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    self, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey,
    UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{digest, hmac};
use std::borrow::Cow;
use std::sync::Arc;

const TEXT: ArgKind = ArgKind::TextOrVariable;
const GCM: &[ArgKind] = &[ArgKind::Int, TEXT, TEXT, TEXT, TEXT];
const CBC: &[ArgKind] = &[ArgKind::Int, TEXT, TEXT];

const fn bytes(eval: super::Eval) -> ConvertSpec {
    ConvertSpec::new(Type::Bin, Type::Bin, eval)
}

/// Converters that digest, authenticate and encrypt.
pub const TABLE: &[Row] = &[
    row(
        "aes_cbc_dec",
        "<bits>,<iv>,<key>",
        "Decrypts bytes with AES in CBC mode; initialisation vector and key are written in base64.",
        "path,b64dec,aes_cbc_dec(128,MDEyMzQ1Njc4OWFiY2RlZg==,MDEyMzQ1Njc4OWFiY2RlZg==)",
        bytes(cbc_dec).args(CBC, 3).check(check_cbc_dec),
    ),
    row(
        "aes_cbc_enc",
        "<bits>,<iv>,<key>",
        "Encrypts bytes with AES in CBC mode; initialisation vector and key are written in base64.",
        "path,aes_cbc_enc(128,MDEyMzQ1Njc4OWFiY2RlZg==,MDEyMzQ1Njc4OWFiY2RlZg==),base64",
        bytes(cbc_enc).args(CBC, 3).check(check_cbc_enc),
    ),
    row(
        "aes_gcm_dec",
        "<bits>,<nonce>,<key>,<aead_tag>[,<aad>]",
        "Decrypts bytes with AES in GCM mode and yields nothing when the tag does not fit; all but the bits are written in base64.",
        "path,b64dec,aes_gcm_dec(128,MDEyMzQ1Njc4OWFi,MDEyMzQ1Njc4OWFiY2RlZg==,MDEyMzQ1Njc4OWFiY2RlZg==)",
        bytes(gcm_dec).args(GCM, 4).check(check_gcm),
    ),
    row(
        "aes_gcm_enc",
        "<bits>,<nonce>,<key>,<aead_tag>[,<aad>]",
        "Encrypts bytes with AES in GCM mode and sets a variable to the tag in base64; nonce, key and data are written in base64.",
        "path,aes_gcm_enc(128,txn.nonce,MDEyMzQ1Njc4OWFiY2RlZg==,txn.tag),base64",
        bytes(gcm_enc)
            .args(&[ArgKind::Int, TEXT, TEXT, ArgKind::NewVariable, TEXT], 4)
            .check(check_gcm_enc),
    ),
    row(
        "digest",
        "<algorithm>",
        "Returns the digest of the bytes: sha1, sha224, sha256, sha384, sha512, sha512-256, sha3-256, sha3-384 or sha3-512.",
        "path,digest(sha256),hex",
        bytes(digest_of).args(&[ArgKind::Str], 1).check(check_digest),
    ),
    row(
        "hmac",
        "<algorithm>,<key>",
        "Returns the message authentication code of the bytes under a key in base64; algorithms are sha1, sha224, sha256, sha384 and sha512.",
        "path,hmac(sha256,c2VjcmV0),hex",
        bytes(hmac_of).args(&[ArgKind::Str, TEXT], 2).check(check_hmac),
    ),
    row(
        "sha1",
        "",
        "Returns the SHA-1 digest of the bytes.",
        "path,sha1,hex",
        bytes(|_, v, _| sum(&digest::SHA1_FOR_LEGACY_USE_ONLY, &v)),
    ),
    row(
        "sha2",
        "[<bits>]",
        "Returns the SHA-2 digest of the bytes, of 224, 256 (the default), 384 or 512 bits.",
        "path,sha2(512),hex",
        bytes(digest_of).args(&[ArgKind::Int], 0).check(check_sha2),
    ),
];

/// What a converter of this file keeps of its arguments.
#[derive(Debug)]
pub enum Cipher {
    /// A digest.
    Digest(&'static digest::Algorithm),
    /// A key for message authentication.
    Hmac(Box<hmac::Key>),
    /// Key, nonce, tag and associated data.
    Gcm(Box<Gcm>),
    /// Key and initialisation vector.
    CbcEnc(Box<PaddedBlockEncryptingKey>, [u8; cipher::AES_CBC_IV_LEN]),
    /// Key and initialisation vector.
    CbcDec(Box<PaddedBlockDecryptingKey>, [u8; cipher::AES_CBC_IV_LEN]),
}

/// What decrypts in GCM mode.
#[derive(Debug)]
pub struct Gcm {
    key: LessSafeKey,
    nonce: [u8; aead::NONCE_LEN],
    tag: Vec<u8>,
    aad: Vec<u8>,
}

fn text(args: &[Arg], index: usize) -> &[u8] {
    args.get(index).and_then(Arg::text).unwrap_or(b"")
}

fn keep(args: &mut [Arg], cipher: Cipher) {
    args[0] = Arg::Prepared(Arc::new(Prepared::Cipher(cipher)));
}

fn cipher(args: &[Arg]) -> Option<&Cipher> {
    match prepared(args)? {
        Prepared::Cipher(cipher) => Some(cipher),
        _ => None,
    }
}

fn sum<'a>(algorithm: &'static digest::Algorithm, value: &Value<'_>) -> Option<Value<'a>> {
    let (Value::Bin(bytes) | Value::Str(bytes)) = value else { return None };
    Some(Value::Bin(Cow::Owned(digest::digest(algorithm, bytes).as_ref().to_vec())))
}

/// Returns the name of a digest as it is compared: in lower case, `sha-256` and `sha2-256` as `sha256`.
fn plain_name(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    let digits = name.strip_prefix("sha2-").or(name.strip_prefix("sha-"));
    digits.map_or(name.clone(), |digits| format!("sha{digits}")).replace('/', "-")
}

fn unknown_digest(name: &[u8], expected: &str) -> (usize, String) {
    let plain = plain_name(name);
    let name = String::from_utf8_lossy(name);
    let message = match plain.as_str() {
        "md4" | "md5" | "md5-sha1" | "mdc2" | "rmd160" | "ripemd160" | "blake2s256"
        | "blake2b512" | "sm3" | "shake128" | "shake256" | "sha512-224" | "sha3-224" => {
            format!("the digest `{name}` is not offered: expected one of {expected}")
        }
        _ => format!("unknown digest `{name}`: expected one of {expected}"),
    };
    (0, message)
}

fn check_digest(args: &mut [Arg]) -> Result<(), (usize, String)> {
    let algorithm = match plain_name(text(args, 0)).as_str() {
        "sha1" | "sha" | "sha11" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        "sha224" => &digest::SHA224,
        "sha256" => &digest::SHA256,
        "sha384" => &digest::SHA384,
        "sha512" => &digest::SHA512,
        "sha512-256" => &digest::SHA512_256,
        "sha3-256" => &digest::SHA3_256,
        "sha3-384" => &digest::SHA3_384,
        "sha3-512" => &digest::SHA3_512,
        _ => {
            let known = "`sha1`, `sha224`, `sha256`, `sha384`, `sha512`, `sha512-256`, `sha3-256`, `sha3-384`, `sha3-512`";
            return Err(unknown_digest(text(args, 0), known));
        }
    };
    keep(args, Cipher::Digest(algorithm));
    Ok(())
}

fn check_sha2(args: &mut [Arg]) -> Result<(), (usize, String)> {
    let algorithm = match args[0].int() {
        None | Some(256) => &digest::SHA256,
        Some(224) => &digest::SHA224,
        Some(384) => &digest::SHA384,
        Some(512) => &digest::SHA512,
        Some(other) => {
            return Err((0, format!("SHA-2 has no {other} bits: expected 224, 256, 384 or 512")));
        }
    };
    keep(args, Cipher::Digest(algorithm));
    Ok(())
}

fn digest_of<'a>(args: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    match cipher(args)? {
        Cipher::Digest(algorithm) => sum(algorithm, &value),
        _ => None,
    }
}

/// Returns the bytes of a text in base64; the error is the index of the argument that it came from, and a message.
fn decoded(text: &[u8], index: usize, what: &str) -> Result<Vec<u8>, (usize, String)> {
    decode_standard(text).ok_or_else(|| (index, format!("{what} is not base64")))
}

/// Compiles the arguments at load, unless variables hold some of them: then [`with_cipher`] does it each time.
fn check(args: &mut [Arg], compile: Compile) -> Result<(), (usize, String)> {
    if super::has_variables(args) {
        return Ok(());
    }
    let texts: Vec<Cow<'_, [u8]>> = args.iter().map(written).collect();
    let bits = args[0].int().unwrap_or(0);
    let cipher = compile(bits, &texts)?;
    drop(texts);
    keep(args, cipher);
    Ok(())
}

/// Makes a cipher of a number of bits and texts by argument.
type Compile = fn(i64, &[Cow<'_, [u8]>]) -> Result<Cipher, (usize, String)>;

fn written(arg: &Arg) -> Cow<'_, [u8]> {
    Cow::Borrowed(arg.text().unwrap_or(b""))
}

/// Calls `then` with what was compiled at load, or is compiled now from what variables hold.
fn with_cipher<'a, T>(
    args: &'a [Arg],
    cx: &'a Context<'_>,
    compile: Compile,
    then: impl FnOnce(&Cipher) -> Option<T>,
) -> Option<T> {
    if let Some(cipher) = cipher(args) {
        return then(cipher);
    }
    let texts = args.iter().enumerate().map(|(at, arg)| match arg {
        Arg::Variable(_) => super::text_of(args, at, cx),
        other => Some(written(other)),
    });
    let texts = texts.collect::<Option<Vec<_>>>()?;
    let bits = args.first().and_then(Arg::int).unwrap_or(0);
    then(&compile(bits, &texts).ok()?)
}

fn hmac_key(_: i64, texts: &[Cow<'_, [u8]>]) -> Result<Cipher, (usize, String)> {
    let algorithm = match plain_name(&texts[0]).as_str() {
        "sha1" => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        "sha224" => hmac::HMAC_SHA224,
        "sha256" => hmac::HMAC_SHA256,
        "sha384" => hmac::HMAC_SHA384,
        "sha512" => hmac::HMAC_SHA512,
        _ => {
            let known = "`sha1`, `sha224`, `sha256`, `sha384`, `sha512`";
            return Err(unknown_digest(&texts[0], known));
        }
    };
    let key = decoded(&texts[1], 1, "the key")?;
    Ok(Cipher::Hmac(Box::new(hmac::Key::new(algorithm, &key))))
}

fn check_hmac(args: &mut [Arg]) -> Result<(), (usize, String)> {
    // The algorithm is known at load, even where the key is not.
    hmac_key(0, &[written(&args[0]), Cow::Borrowed(b"")])?;
    check(args, hmac_key)
}

fn hmac_of<'a>(args: &'a [Arg], value: Value<'a>, cx: &'a Context<'_>) -> Option<Value<'a>> {
    with_cipher(args, cx, hmac_key, |cipher| {
        let Cipher::Hmac(key) = cipher else { return None };
        let tag = hmac::sign(key, &value.into_bytes());
        Some(Value::Bin(Cow::Owned(tag.as_ref().to_vec())))
    })
}

/// Returns the bytes of a text that must have a certain length.
fn sized<const N: usize>(
    text: &[u8],
    index: usize,
    what: &str,
) -> Result<[u8; N], (usize, String)> {
    let bytes = decoded(text, index, what)?;
    let len = bytes.len();
    bytes.try_into().map_err(|_| (index, format!("{what} has {len} bytes: expected {N}")))
}

fn check_bits(bits: i64) -> Result<(), (usize, String)> {
    match bits {
        128 | 192 | 256 => Ok(()),
        _ => Err((0, format!("AES has no keys of {bits} bits: expected 128, 192 or 256"))),
    }
}

/// Returns the key, whose length the bits say.
fn key(bits: i64, text: &[u8]) -> Result<Vec<u8>, (usize, String)> {
    check_bits(bits)?;
    let key = decoded(text, 2, "the key")?;
    if key.len() as i64 * 8 != bits {
        return Err((2, format!("the key has {} bits: expected {bits}", key.len() * 8)));
    }
    Ok(key)
}

fn unusable<E>(_: E) -> (usize, String) {
    (2, "the key cannot be used".to_string())
}

/// Compiles everything but the tag.
fn gcm_key(bits: i64, texts: &[Cow<'_, [u8]>]) -> Result<Cipher, (usize, String)> {
    let key = key(bits, &texts[2])?;
    let nonce = sized(&texts[1], 1, "the nonce")?;
    let aad = decoded(texts.get(4).map_or(b"", |text| text), 4, "the associated data")?;
    let algorithm = match key.len() {
        16 => &aead::AES_128_GCM,
        24 => &aead::AES_192_GCM,
        _ => &aead::AES_256_GCM,
    };
    let key = LessSafeKey::new(UnboundKey::new(algorithm, &key).map_err(unusable)?);
    Ok(Cipher::Gcm(Box::new(Gcm { key, nonce, tag: Vec::new(), aad })))
}

fn gcm(bits: i64, texts: &[Cow<'_, [u8]>]) -> Result<Cipher, (usize, String)> {
    let mut cipher = gcm_key(bits, texts)?;
    if let Cipher::Gcm(gcm) = &mut cipher {
        gcm.tag = sized::<{ aead::MAX_TAG_LEN }>(&texts[3], 3, "the tag")?.to_vec();
    }
    Ok(cipher)
}

fn check_gcm(args: &mut [Arg]) -> Result<(), (usize, String)> {
    check_bits(args[0].int().unwrap_or(0))?;
    check(args, gcm)
}

fn check_gcm_enc(args: &mut [Arg]) -> Result<(), (usize, String)> {
    check_bits(args[0].int().unwrap_or(0))
}

fn gcm_dec<'a>(args: &'a [Arg], value: Value<'a>, cx: &'a Context<'_>) -> Option<Value<'a>> {
    with_cipher(args, cx, gcm, |cipher| {
        let Cipher::Gcm(gcm) = cipher else { return None };
        let mut bytes = value.into_bytes().into_owned();
        let length = bytes.len();
        bytes.extend_from_slice(&gcm.tag);
        let nonce = Nonce::assume_unique_for_key(gcm.nonce);
        gcm.key.open_in_place(nonce, Aad::from(&gcm.aad), &mut bytes).ok()?;
        bytes.truncate(length);
        Some(Value::Bin(Cow::Owned(bytes)))
    })
}

fn gcm_enc<'a>(args: &'a [Arg], value: Value<'a>, cx: &'a Context<'_>) -> Option<Value<'a>> {
    let Some(Arg::Variable(tag_name)) = args.get(3) else { return None };
    let text = |at| match args.get(at) {
        Some(Arg::Absent) | None => Some(Cow::Borrowed(&b""[..])),
        _ => super::text_of(args, at, cx),
    };
    let texts = [Cow::default(), text(1)?, text(2)?, Cow::default(), text(4)?];
    let Cipher::Gcm(gcm) = gcm_key(args.first()?.int()?, &texts).ok()? else { return None };
    let mut bytes = value.into_bytes().into_owned();
    let nonce = Nonce::assume_unique_for_key(gcm.nonce);
    let aad = Aad::from(&gcm.aad);
    let tag = gcm.key.seal_in_place_separate_tag(nonce, aad, &mut bytes).ok()?;
    let tag = Value::Str(Cow::Owned(encode_standard(tag.as_ref())));
    cx.variables.set(*tag_name, tag, Conditions::default());
    Some(Value::Bin(Cow::Owned(bytes)))
}

fn block_key(bits: i64, text: &[u8]) -> Result<UnboundCipherKey, (usize, String)> {
    let key = key(bits, text)?;
    let algorithm = match key.len() {
        16 => &cipher::AES_128,
        24 => &cipher::AES_192,
        _ => &cipher::AES_256,
    };
    UnboundCipherKey::new(algorithm, &key).map_err(unusable)
}

fn cbc_enc_key(bits: i64, texts: &[Cow<'_, [u8]>]) -> Result<Cipher, (usize, String)> {
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(block_key(bits, &texts[2])?);
    let iv = sized(&texts[1], 1, "the initialisation vector")?;
    Ok(Cipher::CbcEnc(Box::new(key.map_err(unusable)?), iv))
}

fn cbc_dec_key(bits: i64, texts: &[Cow<'_, [u8]>]) -> Result<Cipher, (usize, String)> {
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(block_key(bits, &texts[2])?);
    let iv = sized(&texts[1], 1, "the initialisation vector")?;
    Ok(Cipher::CbcDec(Box::new(key.map_err(unusable)?), iv))
}

fn check_cbc_enc(args: &mut [Arg]) -> Result<(), (usize, String)> {
    check_bits(args[0].int().unwrap_or(0))?;
    check(args, cbc_enc_key)
}

fn check_cbc_dec(args: &mut [Arg]) -> Result<(), (usize, String)> {
    check_bits(args[0].int().unwrap_or(0))?;
    check(args, cbc_dec_key)
}

fn cbc_enc<'a>(args: &'a [Arg], value: Value<'a>, cx: &'a Context<'_>) -> Option<Value<'a>> {
    with_cipher(args, cx, cbc_enc_key, |cipher| {
        let Cipher::CbcEnc(key, iv) = cipher else { return None };
        let mut bytes = value.into_bytes().into_owned();
        let context = EncryptionContext::Iv128(FixedLength::from(*iv));
        key.less_safe_encrypt(&mut bytes, context).ok()?;
        Some(Value::Bin(Cow::Owned(bytes)))
    })
}

fn cbc_dec<'a>(args: &'a [Arg], value: Value<'a>, cx: &'a Context<'_>) -> Option<Value<'a>> {
    with_cipher(args, cx, cbc_dec_key, |cipher| {
        let Cipher::CbcDec(key, iv) = cipher else { return None };
        let mut bytes = value.into_bytes().into_owned();
        let context = DecryptionContext::Iv128(FixedLength::from(*iv));
        let length = key.decrypt(&mut bytes, context).ok()?.len();
        bytes.truncate(length);
        Some(Value::Bin(Cow::Owned(bytes)))
    })
}
