//! edgehost for Rust: the Extism calls and the host functions that a component may use, and a small JSON value.
//!
//! One file, no crates. Put `#[path = "../guest/rust/edgehost.rs"] mod edgehost;` into the component's source and
//! build it with
//!
//! ```text
//! rustc --target wasm32-unknown-unknown --edition 2021 --crate-type cdylib -C opt-level=s -C lto -C panic=abort \
//!   -C strip=symbols -C target-cpu=mvp -C link-arg=-zstack-size=32768
//! ```
//!
//! `target-cpu=mvp` keeps to the instructions that every host and board runs.
//!
//! ```text
//! #[no_mangle]
//! pub extern "C" fn hello() -> i32 {
//!     answer(|input| {
//!         let name = input.get("name").as_str().ok_or("name is missing")?;
//!         Ok(object([("hello", Json::from(name))]))
//!     })
//! }
//! ```
#![allow(dead_code)]

use std::fmt;

mod env {
    #[link(wasm_import_module = "extism:host/env")]
    extern "C" {
        pub fn input_length() -> u64;
        pub fn input_load_u8(offset: u64) -> u8;
        pub fn input_load_u64(offset: u64) -> u64;
        pub fn output_set(offset: u64, size: u64);
        pub fn error_set(offset: u64);
        pub fn config_get(key: u64) -> u64;
        pub fn var_get(key: u64) -> u64;
        pub fn var_set(key: u64, value: u64);
        pub fn alloc(size: u64) -> u64;
        pub fn free(offset: u64);
        pub fn length(offset: u64) -> u64;
        pub fn load_u8(offset: u64) -> u8;
        pub fn load_u64(offset: u64) -> u64;
        pub fn store_u8(offset: u64, byte: u8);
        pub fn store_u64(offset: u64, word: u64);
        pub fn log_debug(line: u64);
        pub fn log_info(line: u64);
        pub fn log_warn(line: u64);
        pub fn log_error(line: u64);
    }
}

mod user {
    #[link(wasm_import_module = "extism:host/user")]
    extern "C" {
        pub fn readings(request: u64) -> u64;
        pub fn save(request: u64) -> u64;
        pub fn get(request: u64) -> u64;
        pub fn find(request: u64) -> u64;
        pub fn delete(request: u64) -> u64;
        pub fn call(request: u64) -> u64;
        pub fn notify(request: u64) -> u64;
        pub fn now(request: u64) -> u64;
        pub fn port(request: u64) -> u64;
        pub fn related(request: u64) -> u64;
        pub fn service(request: u64) -> u64;
    }
}

/// Runs an export: input in, output or error out. An empty input reads as null.
pub fn answer(work: impl FnOnce(Json) -> Result<Json, String>) -> i32 {
    let input = input();
    let parsed = if input.is_empty() { Ok(Json::Null) } else { Json::parse(&input) };
    match parsed.and_then(work) {
        Ok(output) => {
            let text = output.to_string();
            unsafe { env::output_set(to_host(&text), text.len() as u64) };
            0
        }
        Err(why) => {
            unsafe { env::error_set(to_host(&why)) };
            1
        }
    }
}

/// The whole input.
pub fn input() -> String {
    let size = unsafe { env::input_length() } as usize;
    copied(size, |i| unsafe { env::input_load_u64(i) }, |i| unsafe { env::input_load_u8(i) })
}

/// A value of `[config]` in component.toml; empty when there is none.
pub fn config(key: &str) -> String {
    received(unsafe { env::config_get(to_host(key)) })
}

/// A variable that this instance has set before; empty when there is none.
pub fn var(key: &str) -> String {
    received(unsafe { env::var_get(to_host(key)) })
}

pub fn set_var(key: &str, value: &str) {
    unsafe { env::var_set(to_host(key), to_host(value)) };
}

pub fn log_debug(line: &str) {
    unsafe { env::log_debug(to_host(line)) };
}

pub fn log_info(line: &str) {
    unsafe { env::log_info(to_host(line)) };
}

pub fn log_warn(line: &str) {
    unsafe { env::log_warn(to_host(line)) };
}

pub fn log_error(line: &str) {
    unsafe { env::log_error(to_host(line)) };
}

/// Why the host refused: a stable word and a sentence.
pub struct Refusal {
    pub code: String,
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "{}: {}", self.code, self.message)
    }
}

impl From<Refusal> for String {
    fn from(refusal: Refusal) -> String {
        refusal.to_string()
    }
}

/// What a component does not use is not imported, so it needs no grant.
macro_rules! host_functions {
    ($($function:ident),*) => {$(
        pub fn $function(request: &Json) -> Result<Json, Refusal> {
            replied(&asked(|block| unsafe { user::$function(block) }, &request.to_string()))
        }
    )*};
}
host_functions!(readings, save, get, find, delete, call, notify, now, port, related, service);

fn replied(reply: &str) -> Result<Json, Refusal> {
    let reply = Json::parse(reply).unwrap_or(Json::Null);
    if let Json::Object(members) = &reply {
        if let Some((_, value)) = members.iter().find(|(name, _)| name == "ok") {
            return Ok(value.clone());
        }
    }
    let error = reply.get("error");
    Err(Refusal {
        code: error.get("code").as_str().unwrap_or("no-answer").to_string(),
        message: error.get("message").as_str().unwrap_or("the host gave no answer").to_string(),
    })
}

/// A JSON value. Numbers keep the text they were written as, so that nothing is lost on the way through.
#[derive(Clone)]
pub enum Json {
    Null,
    Bool(bool),
    Number(String),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

pub fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    Json::Object(members.into_iter().map(|(name, value)| (name.to_string(), value)).collect())
}

impl From<&str> for Json {
    fn from(text: &str) -> Json {
        Json::String(text.to_string())
    }
}

impl From<i64> for Json {
    fn from(number: i64) -> Json {
        Json::Number(number.to_string())
    }
}

impl Json {
    /// The member of an object; null when there is none.
    pub fn get(&self, name: &str) -> &Json {
        match self {
            Json::Object(members) => members.iter().find(|(n, _)| n == name).map_or(&Json::Null, |(_, v)| v),
            _ => &Json::Null,
        }
    }

    /// Sets the member of an object; does nothing to other values.
    pub fn set(&mut self, name: &str, value: Json) {
        if let Json::Object(members) = self {
            members.retain(|(n, _)| n != name);
            members.push((name.to_string(), value));
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        if let Json::String(text) = self { Some(text) } else { None }
    }

    pub fn as_f64(&self) -> Option<f64> {
        if let Json::Number(text) = self { text.parse().ok() } else { None }
    }

    /// The whole part of a number that is written without an exponent.
    pub fn as_whole(&self) -> Option<i64> {
        if let Json::Number(text) = self { text.split('.').next()?.parse().ok() } else { None }
    }

    pub fn parse(text: &str) -> Result<Json, String> {
        let mut parser = Parser { text, at: 0 };
        let value = parser.value(0)?;
        parser.space();
        if parser.at == text.len() { Ok(value) } else { Err(parser.fault()) }
    }
}

impl fmt::Display for Json {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Json::Null => out.write_str("null"),
            Json::Bool(true) => out.write_str("true"),
            Json::Bool(false) => out.write_str("false"),
            Json::Number(text) => out.write_str(text),
            Json::String(text) => quoted(out, text),
            Json::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    out.write_str(if i == 0 { "[" } else { "," })?;
                    item.fmt(out)?;
                }
                out.write_str(if items.is_empty() { "[]" } else { "]" })
            }
            Json::Object(members) => {
                for (i, (name, value)) in members.iter().enumerate() {
                    out.write_str(if i == 0 { "{" } else { "," })?;
                    quoted(out, name)?;
                    out.write_str(":")?;
                    value.fmt(out)?;
                }
                out.write_str(if members.is_empty() { "{}" } else { "}" })
            }
        }
    }
}

fn quoted(out: &mut fmt::Formatter, text: &str) -> fmt::Result {
    out.write_str("\"")?;
    for c in text.chars() {
        match c {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            c if c < ' ' => write!(out, "\\u{:04x}", c as u32)?,
            c => fmt::Write::write_char(out, c)?,
        }
    }
    out.write_str("\"")
}

/// Deeper input would use up the stack.
const DEEPEST: u32 = 64;

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn fault(&self) -> String {
        format!("the input is no JSON at byte {}", self.at)
    }

    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    /// Skips this byte when it comes next.
    fn taken(&mut self, byte: u8) -> bool {
        self.space();
        let found = self.peek() == byte;
        self.at += found as usize;
        found
    }

    fn value(&mut self, depth: u32) -> Result<Json, String> {
        self.space();
        if depth > DEEPEST {
            return Err(self.fault());
        }
        match self.peek() {
            b'{' => {
                self.at += 1;
                let mut members = Vec::new();
                while !self.taken(b'}') {
                    if !members.is_empty() && !self.taken(b',') {
                        return Err(self.fault());
                    }
                    self.space();
                    let name = self.string()?;
                    if !self.taken(b':') {
                        return Err(self.fault());
                    }
                    members.push((name, self.value(depth + 1)?));
                }
                Ok(Json::Object(members))
            }
            b'[' => {
                self.at += 1;
                let mut items = Vec::new();
                while !self.taken(b']') {
                    if !items.is_empty() && !self.taken(b',') {
                        return Err(self.fault());
                    }
                    items.push(self.value(depth + 1)?);
                }
                Ok(Json::Array(items))
            }
            b'"' => Ok(Json::String(self.string()?)),
            b'-' | b'0'..=b'9' => {
                let start = self.at;
                while matches!(self.peek(), b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9') {
                    self.at += 1;
                }
                Ok(Json::Number(self.text[start..self.at].to_string()))
            }
            _ => {
                for (word, value) in [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))] {
                    if self.text[self.at..].starts_with(word) {
                        self.at += word.len();
                        return Ok(value);
                    }
                }
                Err(self.fault())
            }
        }
    }

    fn string(&mut self) -> Result<String, String> {
        let fault = self.fault();
        if self.peek() != b'"' {
            return Err(fault);
        }
        let mut out = String::new();
        let mut chars = self.text[self.at + 1..].char_indices();
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += i + 2;
                    return Ok(out);
                }
                '\\' => match chars.next().ok_or(fault.clone())?.1 {
                    'n' => out.push('\n'),
                    't' => out.push('\t'),
                    'r' => out.push('\r'),
                    'b' => out.push('\u{8}'),
                    'f' => out.push('\u{c}'),
                    'u' => {
                        let mut unit = hex4(&mut chars).ok_or(fault.clone())?;
                        if unit & 0xfc00 == 0xd800 {
                            let low = chars.next().and(chars.next()).and(hex4(&mut chars)).unwrap_or(0);
                            unit = 0x10000 + ((unit & 0x3ff) << 10) + (low & 0x3ff);
                        }
                        out.push(char::from_u32(unit).unwrap_or('\u{fffd}'));
                    }
                    c => out.push(c),
                },
                c => out.push(c),
            }
        }
        Err(fault)
    }
}

fn hex4(chars: &mut std::str::CharIndices) -> Option<u32> {
    (0..4).try_fold(0, |code, _| Some(code << 4 | chars.next()?.1.to_digit(16)?))
}

// The host's memory is reached by calls only; eight bytes at a time keeps them few. The host frees the blocks that
// configuration, variables and log lines are handed over in.

fn to_host(text: &str) -> u64 {
    if text.is_empty() {
        return 0;
    }
    let block = unsafe { env::alloc(text.len() as u64) };
    let mut at = block;
    let mut words = text.as_bytes().chunks_exact(8);
    for word in &mut words {
        let mut eight = [0; 8];
        eight.copy_from_slice(word);
        unsafe { env::store_u64(at, u64::from_le_bytes(eight)) };
        at += 8;
    }
    for byte in words.remainder() {
        unsafe { env::store_u8(at, *byte) };
        at += 1;
    }
    block
}

fn copied(size: usize, word: impl Fn(u64) -> u64, byte: impl Fn(u64) -> u8) -> String {
    let mut bytes = Vec::with_capacity(size);
    while bytes.len() + 8 <= size {
        bytes.extend_from_slice(&word(bytes.len() as u64).to_le_bytes());
    }
    while bytes.len() < size {
        bytes.push(byte(bytes.len() as u64));
    }
    String::from_utf8(bytes).unwrap_or_default()
}

fn asked(ask: impl Fn(u64) -> u64, request: &str) -> String {
    let block = to_host(request);
    let reply = ask(block);
    release(block);
    received(reply)
}

fn received(block: u64) -> String {
    if block == 0 {
        return String::new();
    }
    let size = unsafe { env::length(block) } as usize;
    let text = copied(size, |i| unsafe { env::load_u64(block + i) }, |i| unsafe { env::load_u8(block + i) });
    release(block);
    text
}

fn release(block: u64) {
    if block != 0 {
        unsafe { env::free(block) };
    }
}
