//! JSON of no known type, with whole numbers that stay what they are.

use super::CodecError;

/// Digits of a number that an error shows.
const DIGITS_SHOWN: usize = 40;

/// Reads JSON of no known type. A whole number that has more than 64 bits is refused: it would become a float, and
/// with that another number.
///
/// # Errors
/// If the text is not JSON, or holds such a number.
pub fn read_json(json: &[u8]) -> Result<serde_json::Value, CodecError> {
    let value = serde_json::from_slice(json).map_err(CodecError::new)?;
    match too_large_integer(json) {
        None => Ok(value),
        Some(digits) => {
            let shown = String::from_utf8_lossy(&digits[..digits.len().min(DIGITS_SHOWN)]);
            Err(CodecError::new(format!(
                "the whole number {shown} has more than 64 bits: write it as a text, or with an exponent if it need \
                 not be exact"
            )))
        }
    }
}

/// The first whole number in a valid JSON text that fits neither `i64` nor `u64`.
fn too_large_integer(json: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    while at < json.len() {
        match json[at] {
            b'"' => at = end_of_text(json, at),
            b'-' | b'0'..=b'9' => {
                let part = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                let length = json[at..].iter().take_while(|byte| part(byte)).count();
                let number = &json[at..at + length];
                if !fits(number) {
                    return Some(number);
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    None
}

/// Where a text ends that begins here.
fn end_of_text(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < json.len() && json[at] != b'"' {
        at += if json[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// Whether a number is a float anyway, or a whole one of at most 64 bits.
fn fits(number: &[u8]) -> bool {
    let is_float = number.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
    let text = std::str::from_utf8(number).unwrap_or_default();
    is_float || text.parse::<u64>().is_ok() || text.parse::<i64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::arguments_from_json;

    #[test]
    fn whole_numbers_stay_whole() {
        for json in [
            "18446744073709551615",
            "-9223372036854775808",
            "0",
            "[-0]",
            "1e30",
            "123456789012345678901234567890.5",
            "-1E+30",
            r#""18446744073709551616""#,
            r#"{"\"18446744073709551616": "\\"}"#,
            r#"["\\", 1, "a\"18446744073709551616"]"#,
        ] {
            let plain: serde_json::Value = serde_json::from_str(json).unwrap();
            assert_eq!(read_json(json.as_bytes()).unwrap(), plain, "{json}");
        }
        for json in [
            "18446744073709551616",
            "-9223372036854775809",
            r#"{"a": [1, {"b": 99999999999999999999}]}"#,
            r#"["\\", 18446744073709551616]"#,
            r#"["\"", 18446744073709551616]"#,
        ] {
            let error = read_json(json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("more than 64 bits"), "{json}: {error}");
            assert!(arguments_from_json(json.as_bytes()).is_err(), "{json}");
        }
        let long = "9".repeat(300);
        assert!(read_json(long.as_bytes()).unwrap_err().to_string().len() < 200);
    }

    #[test]
    fn what_is_no_json_is_refused_as_such() {
        for json in ["", "{", "[1", "-", "1e", "\"\\", "18446744073709551616x", "\u{feff}1"] {
            let error = read_json(json.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains("64 bits"), "{json}: {error}");
        }
    }
}
