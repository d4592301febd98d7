//! Keys as bytes whose order is that of the values.
//!
//! | value | bytes |
//! |---|---|
//! | `bool`, unsigned numbers | big-endian |
//! | signed numbers | big-endian, the sign bit flipped |
//! | `char` | as `u32` |
//! | text, bytes | with `00` as `00 FF`, then `00 01` |
//! | `Option` | `00`, or `01` and the value |
//! | tuple, array, struct | its parts |
//! | sequence | `01` before each element, then `00` |
//! | enum | the number of the variant as `u32`, then its content |
//!
//! The form is part of what is stored, and never changes.

mod read;
mod write;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::CodecError;

/// Stands for a zero byte within a text, after a zero.
const ZERO: u8 = 0xff;
/// Ends a text, after a zero. Smaller than [`ZERO`], so that a text comes before those that begin with it.
const END: u8 = 0x01;

/// Longest key. Keys of the inner parts of a tree are repeated there.
pub(super) const KEY_BYTES_MAX: usize = 4 << 10;

pub(super) fn encode<K: Serialize + ?Sized>(key: &K) -> Result<Vec<u8>, CodecError> {
    let mut writer = write::Writer::default();
    key.serialize(&mut writer)?;
    match writer.bytes.len() {
        0..=KEY_BYTES_MAX => Ok(writer.bytes),
        long => Err(CodecError::new(format!("a key has {long} bytes, more than {KEY_BYTES_MAX}"))),
    }
}

pub(super) fn decode<K: DeserializeOwned>(bytes: &[u8]) -> Result<K, CodecError> {
    let mut reader = read::Reader::new(bytes);
    let key = K::deserialize(&mut reader)?;
    match reader.is_empty() {
        true => Ok(key),
        false => Err(CodecError::new("bytes are left over after the key")),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    enum Kind {
        Unit,
        One(i16),
        Two(u8, String),
        Named { left: Option<char>, right: Vec<u16> },
    }

    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    struct Key {
        kind: Kind,
        id: [u8; 3],
        newtype: Newtype,
        flag: bool,
    }

    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    struct Newtype(i64);

    fn kinds() -> impl Strategy<Value = Kind> {
        prop_oneof![
            Just(Kind::Unit),
            any::<i16>().prop_map(Kind::One),
            (any::<u8>(), "[\0\u{1}ab]{0,3}").prop_map(|(number, text)| Kind::Two(number, text)),
            (any::<Option<char>>(), prop::collection::vec(any::<u16>(), 0..3))
                .prop_map(|(left, right)| Kind::Named { left, right }),
        ]
    }

    fn keys() -> impl Strategy<Value = Key> {
        (kinds(), any::<[u8; 3]>(), any::<i64>(), any::<bool>()).prop_map(|(kind, id, number, flag)| Key {
            kind,
            id,
            newtype: Newtype(number),
            flag,
        })
    }

    fn check<K: Serialize + DeserializeOwned + Ord + Debug>(left: &K, right: &K) {
        let (small, large) = (encode(left).unwrap(), encode(right).unwrap());
        assert_eq!(small.cmp(&large), left.cmp(right), "{left:?} {right:?}");
        assert_eq!(&decode::<K>(&small).unwrap(), left);
    }

    proptest! {
        #[test]
        fn bytes_have_the_order_of_values(left in keys(), right in keys()) {
            check(&left, &right);
        }

        #[test]
        fn texts_and_numbers_have_their_order(
            left in ("[\0\u{1}\u{ff}a]{0,4}", any::<i128>(), any::<u64>()),
            right in ("[\0\u{1}\u{ff}a]{0,4}", any::<i128>(), any::<u64>()),
        ) {
            check(&left, &right);
            check(&(left.0.clone(), right.1), &(left.0, right.1.wrapping_add(1)));
            check(&left.2, &right.2);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..32)) {
            drop(decode::<Key>(&bytes));
            drop(decode::<(String, Vec<u8>)>(&bytes));
        }
    }

    #[test]
    fn the_form_is_fixed() {
        assert_eq!(encode("a\0b").unwrap(), b"a\0\xffb\0\x01");
        assert_eq!(encode(&(-1i16, 258u16)).unwrap(), [0x7f, 0xff, 1, 2]);
        assert_eq!(encode(&Some(true)).unwrap(), [1, 1]);
        assert_eq!(encode(&vec![7u8]).unwrap(), [1, 7, 0]);
        assert_eq!(encode(&Kind::One(0)).unwrap(), [0, 0, 0, 1, 0x80, 0]);
    }

    #[test]
    fn what_has_no_order_or_is_too_long_is_refused() {
        assert!(encode(&0.5f64).is_err());
        assert!(encode(&std::collections::BTreeMap::from([(1, 2)])).is_err());
        assert!(encode(&"x".repeat(KEY_BYTES_MAX)).is_err());
        assert!(decode::<u8>(&[1, 2]).is_err());
        assert!(decode::<String>(b"a\0").is_err());
    }
}
