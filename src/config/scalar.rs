//! One leaf of the file: a scalar with its place, kept as text until it is checked. That is what
//! lets every wrong value be reported in one go, and `${NAME}` stand anywhere a value may.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_saphyr::{Location, Spanned};

/// Text of a scalar, as a person would write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar(pub String);

/// A scalar and where it stands.
pub type Leaf = Spanned<Scalar>;

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Scalar, D::Error> {
        struct AnyScalar;
        impl Visitor<'_> for AnyScalar {
            type Value = Scalar;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a single value")
            }
            fn visit_str<E: Error>(self, value: &str) -> Result<Scalar, E> {
                Ok(Scalar(value.to_owned()))
            }
            fn visit_bool<E: Error>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }
            // An empty value is kept as empty text: its check says what belongs there.
            fn visit_unit<E: Error>(self) -> Result<Scalar, E> {
                Ok(Scalar(String::new()))
            }
        }
        deserializer.deserialize_any(AnyScalar)
    }
}

/// Replaces `${NAME}` by the environment; `$$` is a dollar sign. The error is a sentence.
pub fn interpolate(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(more) = after.strip_prefix('$') {
            out.push('$');
            rest = more;
        } else if let Some((name, more)) = after.strip_prefix('{').and_then(|s| s.split_once('}')) {
            let value = env(name).ok_or_else(|| {
                format!("environment variable `{name}` is not set; set it, or write the value here")
            })?;
            out.push_str(&value);
            rest = more;
        } else {
            return Err("a lone `$`; write `${NAME}` for a variable or `$$` for the sign".into());
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// The span of a location in bytes, for snippets.
pub fn byte_span(text: &str, location: Location) -> (usize, usize) {
    let span = location.span();
    if let (Some(at), Some(len)) = (span.byte_offset(), span.byte_len()) {
        return (at as usize, len as usize);
    }
    // Without byte positions: from line and column, both counted from 1.
    let line = (location.line() as usize).saturating_sub(1);
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let column = (location.column() as usize).saturating_sub(1);
    let inside = text.get(start..).unwrap_or_default();
    (start + inside.char_indices().nth(column).map_or(0, |(at, _)| at), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_and_missing_ones_named() {
        let env = |name: &str| (name == "HOME").then(|| "/home/ann".to_owned());
        let cases = [
            ("plain", Ok("plain")),
            ("${HOME}/data", Ok("/home/ann/data")),
            ("a$$b", Ok("a$b")),
            ("${NOPE}", Err("`NOPE` is not set")),
            ("5$", Err("a lone `$`")),
            ("${HOME", Err("a lone `$`")),
        ];
        for (text, expected) in cases {
            match (interpolate(text, &env), expected) {
                (Ok(got), Ok(want)) => assert_eq!(got, want),
                (Err(got), Err(part)) => assert!(got.contains(part), "{got}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }
}
